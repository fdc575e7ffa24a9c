//! What a person types as a document or an input object: a file, a pipe as a shell makes it of `<(...)`, or `-` for
//! standard input. Only what was typed may be a pipe: reading one that a document names could wait for ever.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use crate::resolve::{LocalFiles, ResolveError, Resolver, display_uri, text};
use crate::uri_of_argument;

/// What stands for standard input.
const STDIN: &str = "-";

/// Any file of this machine, and one stream that was typed.
pub(crate) struct Typed<'a> {
    argument: &'a str,
}

impl<'a> Typed<'a> {
    pub(crate) const fn new(argument: &'a str) -> Self {
        Self { argument }
    }

    /// Where what it names is seen from: its own place, for a stream the folder of this process.
    pub(crate) fn base(&self) -> String {
        match self.is_stream() {
            true => uri_of_argument(STDIN),
            false => uri_of_argument(self.argument),
        }
    }

    fn is_stream(&self) -> bool {
        let kind = Path::new(self.argument).metadata();
        match self.argument {
            STDIN => kind.is_err(),
            _ => kind.is_ok_and(|it| it.file_type().is_fifo()),
        }
    }

    fn stream(&self) -> io::Result<Box<dyn Read>> {
        match self.argument {
            STDIN => Ok(Box::new(io::stdin().lock())),
            path => Ok(Box::new(File::open(path)?)),
        }
    }
}

impl Resolver for Typed<'_> {
    fn fetch(&self, uri: &str, limit: usize) -> Result<String, ResolveError> {
        if !self.is_stream() || uri != self.base() {
            return LocalFiles::anywhere().fetch(uri, limit);
        }
        let stream = self.stream().map_err(|error| ResolveError::Unreadable {
            uri: display_uri(uri),
            reason: error.to_string(),
        })?;
        text(stream, uri, limit)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;

    use super::*;
    use crate::{Document, Limits, read_inputs};

    /// A pipe with a text in it, as a shell names it.
    fn piped(content: &str) -> (io::PipeReader, String) {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(content.as_bytes()).unwrap();
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        (reader, path)
    }

    #[test]
    fn a_job_that_comes_through_a_pipe_sees_files_from_here() {
        let (_reader, path) = piped("{most: 1, text: {class: File, location: notes.txt}}");
        let inputs = read_inputs(&path, &Limits::default()).unwrap();
        assert_eq!(inputs["most"], 1);
        let here = uri_of_argument("notes.txt");
        assert_eq!(inputs["text"]["location"], here.as_str());
    }

    #[test]
    fn a_document_may_come_through_a_pipe_and_may_name_none() {
        let document = "{cwlVersion: v1.2, class: Operation, inputs: [], outputs: []}";
        let (_reader, path) = piped(document);
        let opened = Document::open(&path, &Limits::default()).unwrap();
        assert_eq!(opened.process().class(), "Operation");
        let (_inner, inner) = piped(document);
        let outer = format!(
            "{{cwlVersion: v1.2, class: Workflow, inputs: [], outputs: [], steps: {{s: {{in: [], out: [], run: {inner}}}}}}}"
        );
        let (_reader, path) = piped(&outer);
        let refused = Document::open(&path, &Limits::default()).unwrap_err();
        assert!(refused.to_string().contains(&inner), "{refused}");
    }

    #[test]
    fn a_stream_is_not_read_beyond_the_limit() {
        let (_reader, path) = piped("0123456789");
        let typed = Typed::new(&path);
        let refused = typed.fetch(&typed.base(), 9).unwrap_err();
        assert!(
            matches!(refused, ResolveError::TooLarge { .. }),
            "{refused}"
        );
    }
}
