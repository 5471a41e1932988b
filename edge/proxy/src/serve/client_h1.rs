//! HTTP/1.1 clients: exchanges of our own connection loop.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use mcsp_edge_h1::{BodyLength, Exchange, Head, SendError};
use mcsp_edge_mapped::Parts;

use super::client::{ClientStream, HeadLines, Length, SendFault};
use super::prepared::Prepared;

impl From<SendError> for SendFault {
    fn from(error: SendError) -> Self {
        if error.is_downstream() {
            Self::Client(error.to_string())
        } else {
            Self::Answer(error.to_string())
        }
    }
}

impl HeadLines for Head {
    fn prepared(&mut self, prepared: &Prepared<'_>) {
        match prepared.lines() {
            Some(lines) => self.lines(lines),
            None => prepared.each(|name, value| Self::field(self, name, value)),
        }
    }

    fn field(&mut self, name: &HeaderName, value: &HeaderValue) {
        Self::field(self, name, value);
    }

    fn field_fmt(&mut self, name: &HeaderName, value: fmt::Arguments<'_>) {
        Self::field_fmt(self, name, value);
    }

    fn field_u64(&mut self, name: &HeaderName, value: u64) {
        Self::field_u64(self, name, value);
    }
}

impl ClientStream for Exchange<'_> {
    type Head = Head;

    fn head(&mut self, status: StatusCode) -> Head {
        Exchange::head(self, status)
    }

    async fn interim(&mut self, status: StatusCode, fields: &HeaderMap) -> Result<(), SendFault> {
        Ok(self.send_interim(status, fields).await?)
    }

    async fn send_full(&mut self, head: Head, body: &[Bytes]) -> Result<(), SendFault> {
        Ok(Exchange::send_full(self, head, body).await?)
    }

    fn begin(&mut self, head: Head, length: Length) -> Result<(), SendFault> {
        let length = match length {
            Length::Known(bytes) => BodyLength::Known(bytes),
            Length::Unknown => BodyLength::Chunked,
            Length::None => BodyLength::None,
        };
        Ok(Exchange::begin(self, head, length)?)
    }

    async fn write(&mut self, piece: Bytes) -> Result<(), SendFault> {
        Ok(Exchange::write(self, piece).await?)
    }

    async fn write_all(&mut self, pieces: Vec<Bytes>) -> Result<(), SendFault> {
        Ok(Exchange::write_all(self, &pieces).await?)
    }

    fn takes_parts(&self) -> bool {
        Exchange::takes_parts(self)
    }

    async fn write_parts(&mut self, parts: &Parts) -> Result<u64, SendFault> {
        Ok(Exchange::write_parts(self, parts).await?)
    }

    async fn flush(&mut self) -> Result<(), SendFault> {
        Ok(Exchange::flush(self).await?)
    }

    async fn finish(&mut self) -> Result<(), SendFault> {
        Ok(Exchange::finish(self).await?)
    }

    async fn gone(&mut self) {
        self.client_gone().await;
    }

    fn end_connection(&mut self) {
        self.close_after();
    }

    fn body_bytes_sent(&self) -> u64 {
        Exchange::body_bytes_sent(self)
    }
}
