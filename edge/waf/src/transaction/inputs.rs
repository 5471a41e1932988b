//! What callers hand over, phase by phase.

use std::borrow::Cow;

use super::values::NONE;
use super::vars::TxValue;
use super::{SIGNALS, Transaction};
use crate::body::coding::{Coding, Decoder, Ended};
use crate::body::{Processor, urlencoded};
use crate::lang::variables::Variable;
use crate::limits::Beyond;
use crate::transform::hex_pair;
use crate::verdict::{Block, Outcome};

impl Transaction {
    pub(super) fn describe_client(&mut self) {
        let client = &self.client;
        let mut put = |variable, value: &[u8]| self.store.put(&mut self.values, variable, value);
        put(
            Variable::RemoteAddr,
            client.address.to_canonical().to_string().as_bytes(),
        );
        put(Variable::RemotePort, client.port.to_string().as_bytes());
        put(
            Variable::ServerAddr,
            client.server.to_canonical().to_string().as_bytes(),
        );
        put(
            Variable::ServerPort,
            client.server_port.to_string().as_bytes(),
        );
        put(Variable::UniqueId, client.id.as_bytes());
        for (name, signal) in SIGNALS.iter().zip(&client.signals) {
            // Who asks about it has given it a place.
            if let Some(slot) = self.set.names.slot(name.as_bytes()) {
                let text = TxValue::Text(signal.as_bytes().into());
                self.vars.set_slot(slot, Some(text));
            }
        }
        if let Some(country) = &client.country {
            let name = self.values.push(b"COUNTRY_CODE");
            let value = self.values.push(country.as_bytes());
            self.store.add(Variable::Geo, name, value);
        }
    }

    /// The request line. `target` is as it was received, `protocol` like `HTTP/1.1`.
    pub fn request_line(&mut self, method: &[u8], target: &[u8], protocol: &[u8]) {
        let line = [method, b" ", target, b" ", protocol].concat();
        self.given += line.len();
        let line = line.strip_suffix(b" ").unwrap_or(&line);
        let relative = origin_form(target);
        let without_fragment =
            &relative[..memchr::memchr(b'#', relative).unwrap_or(relative.len())];
        let (path, query) = match memchr::memchr(b'?', without_fragment) {
            Some(at) => (&without_fragment[..at], &without_fragment[at + 1..]),
            None => (without_fragment, &without_fragment[..0]),
        };
        let path = path_bytes(path);
        let base = path
            .iter()
            .rposition(|b| matches!(b, b'/' | b'\\'))
            .map_or(path.as_ref(), |at| &path[at + 1..]);
        let mut put = |variable, value: &[u8]| self.store.put(&mut self.values, variable, value);
        put(Variable::RequestLine, line);
        put(Variable::RequestMethod, method);
        put(Variable::RequestProtocol, protocol);
        put(Variable::RequestBasename, base);
        put(Variable::QueryString, query);
        // Most often all three are the same, and then they are looked at once.
        let raw = self.values.push(target);
        let uri = match relative.len() == target.len() {
            true => raw,
            false => self.values.push(relative),
        };
        let file = match *path == *relative {
            true => uri,
            false => self.values.push(&path),
        };
        self.store.put_known(Variable::RequestUriRaw, raw);
        self.store.put_known(Variable::RequestUri, uri);
        self.store.put_known(Variable::RequestFilename, file);
        // No request of a person's has as many, and beside them it might say anything.
        if query.iter().filter(|byte| **byte == b'&').count()
            >= self.environment.limits.arguments_max
        {
            self.fail_body("too many arguments in the query");
        }
        let broken = self.arguments_of(query, true);
        if broken {
            self.store
                .put(&mut self.values, Variable::UrlencodedError, b"1");
        }
    }

    /// A request header field, in the order received. More than are inspected are an error of the request.
    pub fn request_header(&mut self, name: &[u8], value: &[u8]) {
        if self.store.list(Variable::RequestHeaders).len() >= self.environment.limits.headers_max {
            self.fail_body("too many fields");
            return;
        }
        self.given += name.len() + value.len();
        let name_id = self.values.push(name);
        let value_id = self.values.push(value);
        self.store.add_named(
            Variable::RequestHeaders,
            Variable::RequestHeadersNames,
            name_id,
            value_id,
        );
        if name.eq_ignore_ascii_case(b"cookie") {
            self.cookies(value);
        } else if name.eq_ignore_ascii_case(b"content-type") {
            // One would say how the body is read here, and another how behind us (RFC 9110 section 8.3 has one).
            let earlier = self.content_type.replace(value_id);
            if earlier.is_some_and(|earlier| self.values.get(earlier) != value) {
                self.fail_body("more than one Content-Type");
            }
            self.processor = Processor::for_content_type(value);
        } else if name.eq_ignore_ascii_case(b"host") {
            let end = value
                .iter()
                .rposition(|b| *b == b':')
                .filter(|_| !value.ends_with(b"]"))
                .unwrap_or(value.len());
            self.store
                .put(&mut self.values, Variable::ServerName, &value[..end]);
        }
    }

    fn cookies(&mut self, value: &[u8]) {
        for pair in value
            .split(|b| *b == b';')
            .map(<[u8]>::trim_ascii)
            .filter(|pair| !pair.is_empty())
        {
            if self.store.list(Variable::RequestCookies).len()
                >= self.environment.limits.headers_max
            {
                self.fail_body("too many cookies");
                return;
            }
            let (name, value) = match memchr::memchr(b'=', pair) {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &pair[..0]),
            };
            let name = self.values.push(name.trim_ascii());
            let value = self.values.push(value.trim_ascii());
            self.store.add_named(
                Variable::RequestCookies,
                Variable::RequestCookiesNames,
                name,
                value,
            );
        }
    }

    /// The head is complete: phase 1.
    pub fn request_head_done(&mut self) -> Outcome {
        if let Some(processor) = self.processor {
            self.store.put(
                &mut self.values,
                Variable::ReqbodyProcessor,
                processor.name().as_bytes(),
            );
        } else {
            self.store
                .put(&mut self.values, Variable::ReqbodyProcessor, b"");
        }
        self.combined_size();
        self.run_phase(1)
    }

    /// A piece of the request's body. Bytes beyond the limit are not kept.
    pub fn request_body(&mut self, piece: &[u8]) -> Outcome {
        let limits = &self.environment.limits;
        let most = self
            .set
            .settings
            .request_body_bytes_max
            .unwrap_or(usize::MAX)
            .min(limits.request_body_bytes_max);
        let room = most.saturating_sub(self.request_body.len());
        self.given += piece.len().min(room);
        self.request_body
            .extend_from_slice(&piece[..piece.len().min(room)]);
        if piece.len() > room {
            self.beyond(413);
        }
        self.outcome()
    }

    /// The request's body is complete, or there is none: phase 2.
    pub fn request_body_done(&mut self) -> Outcome {
        if self.is_active() {
            self.read_request_body();
        }
        self.run_phase(2)
    }

    /// The response's status line. `protocol` like `HTTP/1.1`.
    pub fn response_line(&mut self, status: u16, protocol: &[u8]) {
        self.status = Some(status);
        let text = status.to_string();
        let mut put = |variable, value: &[u8]| self.store.put(&mut self.values, variable, value);
        put(Variable::ResponseStatus, text.as_bytes());
        put(Variable::ResponseProtocol, protocol);
        put(
            Variable::StatusLine,
            &[protocol, b" ", text.as_bytes()].concat(),
        );
    }

    /// A response header field, in the order received.
    pub fn response_header(&mut self, name: &[u8], value: &[u8]) {
        if self.store.list(Variable::ResponseHeaders).len() >= self.environment.limits.headers_max {
            return;
        }
        self.given += name.len() + value.len();
        let name_id = self.values.push(name);
        let value_id = self.values.push(value);
        self.store.add_named(
            Variable::ResponseHeaders,
            Variable::ResponseHeadersNames,
            name_id,
            value_id,
        );
        if name.eq_ignore_ascii_case(b"content-type") {
            self.store
                .add(Variable::ResponseContentType, NONE, value_id);
        } else if name.eq_ignore_ascii_case(b"content-length") {
            self.store
                .add(Variable::ResponseContentLength, NONE, value_id);
        } else if name.eq_ignore_ascii_case(b"content-encoding") {
            self.response_coding(value);
        }
    }

    fn response_coding(&mut self, value: &[u8]) {
        let coding = Coding::of_field(value);
        // One within another is none that is read.
        let is_second = self.response_decoder.is_some() && coding != Ok(None);
        match coding {
            Ok(None) => {}
            Ok(Some(coding)) if !is_second => {
                let bytes_max = self.response_body_bytes_max();
                self.response_decoder = Some(Decoder::new(coding, bytes_max));
            }
            _ => self.is_response_unreadable = true,
        }
    }

    /// The response's head is complete: phase 3.
    pub fn response_head_done(&mut self) -> Outcome {
        self.run_phase(3)
    }

    fn response_body_bytes_max(&self) -> usize {
        let most = self.set.settings.response_body_bytes_max;
        most.unwrap_or(usize::MAX)
            .min(self.environment.limits.response_body_bytes_max)
    }

    /// A piece of the response's body, as it is sent; what is coded is decoded. Bytes beyond the limit are not kept.
    pub fn response_body(&mut self, piece: &[u8]) -> Outcome {
        if self.is_response_unreadable {
            self.unread_response("its codings are not known");
            return self.outcome();
        }
        if let Some(decoder) = &mut self.response_decoder {
            let before = decoder.bytes().len();
            let taken = decoder.take(piece);
            self.given += decoder.bytes().len() - before;
            match taken {
                Ok(()) => {}
                Err(Ended::Full) => self.beyond(500),
                Err(Ended::Broken) => self.unread_response("it is not in the coding that it says"),
            }
            return self.outcome();
        }
        let room = self
            .response_body_bytes_max()
            .saturating_sub(self.response_body.len());
        self.given += piece.len().min(room);
        self.response_body
            .extend_from_slice(&piece[..piece.len().min(room)]);
        if piece.len() > room {
            self.beyond(500);
        }
        self.outcome()
    }

    /// Some or all of the response's body cannot be looked at.
    fn unread_response(&mut self, why: &str) {
        if self.body_error.is_none() {
            self.body_error = Some(format!("the answer was not read: {why}"));
        }
        self.beyond(500);
    }

    /// The response's body is complete, or there is none: phase 4.
    pub fn response_body_done(&mut self) -> Outcome {
        let body = match self.response_decoder.take() {
            Some(decoder) => decoder.into_bytes(),
            None => std::mem::take(&mut self.response_body),
        };
        if !body.is_empty() {
            self.store
                .put(&mut self.values, Variable::ResponseBody, &body);
        }
        self.run_phase(4)
    }

    pub(super) fn beyond(&mut self, status: u16) {
        if self.body_cut {
            return;
        }
        self.body_cut = true;
        let variable = if status == 413 {
            Variable::InboundDataError
        } else {
            Variable::OutboundDataError
        };
        self.store.put(&mut self.values, variable, b"1");
        if self.environment.limits.beyond == Beyond::Reject {
            self.block(Block {
                status,
                rule: 0,
                redirect: None,
                drop_connection: false,
            });
        }
    }

    /// Adds arguments of a query or an encoded body; `true` if an escape was broken.
    pub(super) fn arguments_of(&mut self, text: &[u8], of_query: bool) -> bool {
        let (list, names) = if of_query {
            (Variable::ArgsGet, Variable::ArgsGetNames)
        } else {
            (Variable::ArgsPost, Variable::ArgsPostNames)
        };
        let parsed = urlencoded::parse(text, &mut |name, value| {
            self.argument(list, names, name, value)
        });
        match parsed {
            Ok(broken) => broken,
            Err(error) => {
                self.unreadable(&error);
                false
            }
        }
    }

    /// Adds one argument; `false` if there is no room.
    pub(super) fn argument(
        &mut self,
        list: Variable,
        names: Variable,
        name: &[u8],
        value: &[u8],
    ) -> bool {
        let most = self
            .set
            .settings
            .arguments_max
            .unwrap_or(usize::MAX)
            .min(self.environment.limits.arguments_max);
        if self.store.list(Variable::Args).len() >= most {
            return false;
        }
        let name_id = self.values.push(name);
        let value_id = self.values.push(value);
        self.store.add_named(list, names, name_id, value_id);
        self.store
            .add_named(Variable::Args, Variable::ArgsNames, name_id, value_id);
        self.arguments += name.len() + value.len();
        true
    }

    pub(super) fn combined_size(&mut self) {
        let size = self.arguments.to_string();
        self.store.put(
            &mut self.values,
            Variable::ArgsCombinedSize,
            size.as_bytes(),
        );
    }
}

/// A path with its escapes decoded once, as servers map it to files; a broken escape stays.
fn path_bytes(path: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', path).is_none() {
        return Cow::Borrowed(path);
    }
    let mut out = Vec::with_capacity(path.len());
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        let decoded = if byte == b'%' {
            hex_pair(path, at + 1)
        } else {
            None
        };
        out.push(decoded.unwrap_or(byte));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    Cow::Owned(out)
}

/// A target without scheme and authority.
fn origin_form(target: &[u8]) -> &[u8] {
    let Some(at) = memchr::memmem::find(target, b"://") else {
        return target;
    };
    if !target[..at].iter().all(u8::is_ascii_alphanumeric) || at == 0 {
        return target;
    }
    let rest = &target[at + 3..];
    rest.iter()
        .position(|b| matches!(b, b'/' | b'?' | b'#'))
        .map_or(b"/", |slash| &rest[slash..])
}
