//! Takes places of this machine out of what leaves it: texts of a runner go to the consumer, and where attempts lie
//! here names accounts and folders that are no business of a partner.

use std::path::Path;

/// The folder of an attempt, as texts may spell it.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// Of the folder itself, with and without a slash.
    spelled: [String; 2],
}

impl Places {
    /// Those of an attempt that works in `folder`, an absolute path without links.
    pub(super) fn of(folder: &Path) -> Self {
        let plain = folder.display().to_string();
        Self {
            spelled: [format!("{plain}/"), plain],
        }
    }

    /// A text with paths below the folder written relative to it.
    pub(super) fn hide(&self, text: String) -> String {
        let [below, itself] = &self.spelled;
        if !text.contains(itself.as_str()) {
            return text;
        }
        text.replace(below.as_str(), "")
            .replace(itself.as_str(), ".")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_an_attempt_become_relative_and_others_stay() {
        let places = Places::of(Path::new("/home/ann/node/attempts/0123"));
        let hide = |text: &str| places.hide(text.to_owned());
        assert_eq!(
            hide("cannot read `/home/ann/node/attempts/0123/work/a.tif`: no such file"),
            "cannot read `work/a.tif`: no such file"
        );
        assert_eq!(hide("PWD=/home/ann/node/attempts/0123"), "PWD=.");
        assert_eq!(
            hide("/usr/share/proj is missing"),
            "/usr/share/proj is missing"
        );
    }
}
