//! The request's body to variables.

use super::Transaction;
use super::values::{NONE, ValueId};
use crate::body::{BodyError, Processor, json, multipart, xml};
use crate::lang::variables::Variable;

/// Most header lines of one multipart part.
const PART_HEADERS_MAX: usize = 32;

impl Transaction {
    pub(super) fn read_request_body(&mut self) {
        let body = std::mem::take(&mut self.request_body);
        if body.is_empty() || !self.request_body_access {
            return;
        }
        self.store.put(
            &mut self.values,
            Variable::RequestBodyLength,
            body.len().to_string().as_bytes(),
        );
        // As the language has it: there is no REQUEST_BODY where another processor has taken it apart.
        let raw = match self.processor {
            Some(Processor::UrlEncoded) => true,
            Some(_) => false,
            None => self.force_request_body,
        };
        if raw {
            self.store
                .put(&mut self.values, Variable::RequestBody, &body);
        }
        let done = match self.processor {
            Some(Processor::UrlEncoded) => {
                if self.arguments_of(&body, false) {
                    self.store
                        .put(&mut self.values, Variable::UrlencodedError, b"1");
                }
                Ok(())
            }
            Some(Processor::Json) => self.read_json(&body),
            Some(Processor::Xml) => self.read_xml(&body),
            Some(Processor::Multipart) => self.read_form(&body),
            None => Ok(()),
        };
        match done {
            Ok(()) if self.body_error.is_none() => {
                self.store
                    .put(&mut self.values, Variable::ReqbodyError, b"0");
            }
            Ok(()) => {}
            Err(error) => self.unreadable(&error),
        }
        self.combined_size();
    }

    /// A body, or a query, could not be read to its end: by its own fault, or since more of it is not looked at.
    pub(super) fn unreadable(&mut self, error: &BodyError) {
        if error.is_bound {
            self.beyond(413);
        }
        // What is cut short has no end for a processor to find.
        if !self.body_cut {
            self.fail_body(&error.to_string());
        }
    }

    /// A request that cannot be looked at as a whole.
    pub(super) fn fail_body(&mut self, message: &str) {
        for flag in [Variable::ReqbodyError, Variable::ReqbodyProcessorError] {
            self.store.put(&mut self.values, flag, b"1");
        }
        for text in [
            Variable::ReqbodyErrorMsg,
            Variable::ReqbodyProcessorErrorMsg,
        ] {
            self.store.put(&mut self.values, text, message.as_bytes());
        }
        self.body_error = Some(message.to_owned());
    }

    fn read_json(&mut self, body: &[u8]) -> Result<(), BodyError> {
        let depth = self
            .set
            .settings
            .json_depth_max
            .unwrap_or(usize::MAX)
            .min(self.environment.limits.depth_max);
        json::parse(body, depth, &mut |name, value| {
            self.argument(Variable::ArgsPost, Variable::ArgsPostNames, name, value)
        })
    }

    fn read_xml(&mut self, body: &[u8]) -> Result<(), BodyError> {
        let limits = &self.environment.limits;
        let document = xml::parse(body, limits.depth_max, limits.arguments_max)?;
        self.store
            .put(&mut self.values, Variable::Xml, &document.text);
        for attribute in &document.attributes {
            let value = self.values.push(attribute);
            self.store.add(Variable::XmlAttributes, NONE, value);
        }
        Ok(())
    }

    fn read_form(&mut self, body: &[u8]) -> Result<(), BodyError> {
        let headers = self.store.list(Variable::RequestHeaders);
        let named = headers.iter().find(|entry| {
            self.values
                .get(entry.name)
                .eq_ignore_ascii_case(b"content-type")
        });
        let content_type = named
            .map(|entry| self.values.get(entry.value).to_vec())
            .unwrap_or_default();
        let bounds = multipart::Bounds {
            parts_max: self.environment.limits.parts_max,
            headers_max: PART_HEADERS_MAX,
        };
        let mut form = multipart::Form::default();
        let done = multipart::parse(
            &content_type,
            body,
            bounds,
            &mut form,
            &mut |name, value| {
                self.argument(Variable::ArgsPost, Variable::ArgsPostNames, name, value)
            },
        );
        let mut combined = 0;
        for file in &form.files {
            let name = self.values.push(&file.name);
            let file_name = self.values.push(&file.file_name);
            let size = self.values.push(file.size.to_string().as_bytes());
            combined += file.size;
            self.store.add(Variable::Files, name, file_name);
            self.store.add(Variable::FilesNames, name, name);
            self.store.add(Variable::FilesSizes, name, size);
            self.store.add(Variable::MultipartFilename, name, file_name);
            self.store.add(Variable::MultipartName, name, name);
        }
        // All lines of a part come one after the other, with one name, which may be long.
        let mut last: Option<(&[u8], ValueId)> = None;
        for (part, line) in &form.part_headers {
            let name = match last {
                Some((same, id)) if same == part.as_slice() => id,
                _ => self.values.push(part),
            };
            last = Some((part, name));
            let line = self.values.push(line);
            self.store.add(Variable::MultipartPartHeaders, name, line);
        }
        self.store.put(
            &mut self.values,
            Variable::FilesCombinedSize,
            combined.to_string().as_bytes(),
        );
        let flags = form.flags;
        let table = [
            (Variable::MultipartBoundaryQuoted, flags.boundary_quoted),
            (
                Variable::MultipartBoundaryWhitespace,
                flags.boundary_whitespace,
            ),
            (Variable::MultipartCrlfLfLines, flags.crlf_lf_lines),
            (Variable::MultipartDataAfter, flags.data_after),
            (Variable::MultipartDataBefore, flags.data_before),
            (Variable::MultipartHeaderFolding, flags.header_folding),
            (
                Variable::MultipartInvalidHeaderFolding,
                flags.invalid_header_folding,
            ),
            (Variable::MultipartInvalidPart, flags.invalid_part),
            (Variable::MultipartInvalidQuoting, flags.invalid_quoting),
            (Variable::MultipartLfLine, flags.lf_line),
            (Variable::MultipartMissingSemicolon, flags.missing_semicolon),
            (
                Variable::MultipartUnmatchedBoundary,
                flags.unmatched_boundary,
            ),
            (
                Variable::MultipartStrictError,
                flags.strict_error() || done.is_err(),
            ),
        ];
        for (variable, set) in table {
            self.store
                .put(&mut self.values, variable, if set { b"1" } else { b"0" });
        }
        done
    }
}
