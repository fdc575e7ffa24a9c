//! Names that look like other names (Unicode Technical Standard #39).

use unicode_security::MixedScript as _;

/// The first word of a text whose letters are of scripts that are not written together (UTS #39, section 5.1), as in
/// `South` with a Cyrillic `o`. Words of different scripts may stand side by side.
pub fn mixed_word(text: &str) -> Option<&str> {
    let mut words = text.split(|c: char| !c.is_alphanumeric());
    words.find(|word| !word.is_single_script())
}

/// What two texts have in common that readers would take for each other, upper and lower case taken for the same (UTS
/// #39, section 4). It is made to be compared, not to be shown.
pub fn skeleton(text: &str) -> String {
    let skeleton: String = unicode_security::skeleton(&text.to_lowercase()).collect();
    skeleton.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a Cyrillic `o`.
    const IMITATED: &str = "S\u{43e}uth";

    #[test]
    fn a_word_of_two_scripts_is_found_among_others() {
        assert_eq!(mixed_word(&format!("The {IMITATED} Lab")), Some(IMITATED));
        for honest in [
            "South",
            "Réseau de l'Est",
            "München 北京",
            "Север Энергия 2",
            "東京タワー研究所",
            "مركز الفضاء",
            "ESA-ESRIN",
            "🛰 Toulouse",
        ] {
            assert_eq!(mixed_word(honest), None, "{honest}");
        }
    }

    #[test]
    fn names_that_pass_for_each_other_have_one_skeleton() {
        for other in [IMITATED, "SOUTH", "south", "\u{405}outh"] {
            assert_eq!(skeleton(other), skeleton("South"), "{other}");
        }
        // All of one script, and yet.
        assert_eq!(skeleton("\u{441}\u{430}\u{440}\u{435}"), skeleton("cape"));
        assert_ne!(skeleton("South"), skeleton("North"));
    }
}
