//! The options with which a person speaks to a node: what is advised to type next goes to the same node.

use std::ffi::OsStr;
use std::sync::OnceLock;

use super::NodeOptions;

/// Options of this process that the next command needs too.
static TYPED: OnceLock<String> = OnceLock::new();

/// Takes note of what was typed. What comes from the environment will be there the next time.
pub(crate) fn note(options: &NodeOptions) {
    let _ = TYPED.set(of(options, |name| std::env::var_os(name)));
}

fn of<V: AsRef<OsStr>>(options: &NodeOptions, environment: impl Fn(&str) -> Option<V>) -> String {
    let named = [
        (
            "--node",
            "OPENCLOUD_NODE",
            options.node.as_ref().map(OsStr::new),
        ),
        (
            "--token-file",
            "OPENCLOUD_TOKEN_FILE",
            options.token_file.as_ref().map(|it| it.as_os_str()),
        ),
        (
            "--data",
            "OPENCLOUD_DATA",
            options.data.as_ref().map(|it| it.as_os_str()),
        ),
    ];
    let mut words = String::new();
    for (option, variable, value) in named {
        let Some(value) = value else { continue };
        if environment(variable).is_some_and(|set| set.as_ref() == value) {
            continue;
        }
        let value = quoted(&value.to_string_lossy());
        words.push_str(&format!(" {option} {value}"));
    }
    words
}

/// A word as a shell reads it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-:~".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// A text whose commands have those options.
pub(crate) fn with_options(text: &str) -> String {
    insert(text, TYPED.get().map_or("", String::as_str))
}

fn insert(text: &str, options: &str) -> String {
    if options.is_empty() {
        return text.to_owned();
    }
    // A node that is started is not spoken to: of the options only its folder is meant.
    let folder = options.find(" --data ").map_or("", |at| &options[at..]);
    let mut parts = text.split("`opencloud ");
    let mut inserted = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let starts = part.split(['`', ' ']).next() == Some("up");
        let options = if starts { folder } else { options };
        inserted.push_str(&format!("`opencloud{options} {part}"));
    }
    inserted
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::Arguments;
    use super::*;

    #[test]
    fn advice_goes_to_the_node_that_was_named() {
        let line = [
            "opencloud",
            "--data",
            "/tmp/my south",
            "--node",
            "http://[::1]:1",
            "peers",
        ];
        let typed = Arguments::parse_from(line).node;
        let options = of(&typed, |_| None::<&str>);
        assert_eq!(options, " --node 'http://[::1]:1' --data '/tmp/my south'");
        assert_eq!(
            insert("see `opencloud runs` or `opencloud peers`", " --data s"),
            "see `opencloud --data s runs` or `opencloud --data s peers`"
        );
        assert_eq!(
            insert("start one with `opencloud up`: `opencloud runs`", &options),
            "start one with `opencloud --data '/tmp/my south' up`: `opencloud --node 'http://[::1]:1' --data '/tmp/my south' runs`"
        );
        let again = of(&typed, |name| {
            (name == "OPENCLOUD_DATA").then_some("/tmp/my south")
        });
        assert_eq!(again, " --node 'http://[::1]:1'");
    }
}
