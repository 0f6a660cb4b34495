//! The forms of a pair whose instructions are counted, as their lines.

/// A lock and its unlock. `NAME` stands for the lock's name, `OWNER` for an owner that only this pair has.
pub(crate) struct Form {
    pub(crate) name: &'static str,
    pub(crate) lock: &'static str,
    pub(crate) unlock: &'static str,
}

pub(crate) const FORMS: [Form; 5] = [
    Form {
        name: "plain",
        lock: r#"{"command":"lock","name":"NAME"}"#,
        unlock: r#"{"command":"unlock","name":"NAME"}"#,
    },
    Form {
        name: "id",
        lock: r#"{"command":"lock","name":"NAME","id":123456}"#,
        unlock: r#"{"command":"unlock","name":"NAME","id":123457}"#,
    },
    Form {
        name: "owner",
        lock: r#"{"command":"lock","name":"NAME","owner":4711,"fence":true,"id":123456}"#,
        unlock: r#"{"command":"unlock","name":"NAME","owner":4711,"id":123457}"#,
    },
    Form {
        name: "owners",
        lock: r#"{"command":"lock","name":"NAME","owner":OWNER,"fence":true,"id":123456}"#,
        unlock: r#"{"command":"unlock","name":"NAME","owner":OWNER,"id":123457}"#,
    },
    Form {
        name: "long",
        lock: r#"{"command":"lock","name":"NAME","owner":1234OWNER,"fence":true,"id":12345678}"#,
        unlock: r#"{"command":"unlock","name":"NAME","owner":1234OWNER,"id":12345679}"#,
    },
];

impl Form {
    pub(crate) fn named(name: &str) -> &'static Form {
        FORMS.iter().find(|form| form.name == name).expect("a form that exists")
    }

    /// The lines of a number of pairs, each with a name of its own; all names have the same length.
    pub(crate) fn lines(&self, pairs: usize) -> String {
        assert!(pairs <= 100, "a name has two digits");
        let pair = |number| {
            let (name, owner) = (format!("boss:{number:02}"), format!("{}", 4711 + number));
            format!("{}\n{}\n", self.lock, self.unlock).replace("NAME", &name).replace("OWNER", &owner)
        };
        (0..pairs).map(pair).collect()
    }
}

/// Asserts that these are the replies to a number of pairs: otherwise something else is counted.
pub(crate) fn assert_granted(replies: &[u8], pairs: usize) {
    let replies = str::from_utf8(replies).expect("replies are UTF-8");
    assert_eq!(replies.lines().count(), 2 * pairs, "{replies}");
    for (line, result) in replies.lines().zip([r#""acquired""#, r#""released""#].into_iter().cycle()) {
        assert!(line.contains(result), "{result} expected: {line}");
    }
}
