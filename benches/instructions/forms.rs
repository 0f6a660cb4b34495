//! The forms of a pair whose instructions are counted, as their lines.

/// Requests that take and release a lock, or several. `NAME` stands for the lock's name, which has seven bytes, and `OWNER`
/// for an owner that only these requests have.
pub(crate) struct Form {
    pub(crate) name: &'static str,
    pub(crate) lines: &'static [&'static str],
}

/// The keys are in the order, and spaces and escapes are, as the JSON library of the language writes them: Python's
/// `json.dumps`, Ruby's `JSON.generate`, JavaScript's `JSON.stringify`, C#'s `JsonSerializer`, and Go's `json.Marshal` of a
/// struct and of a map, whose keys it sorts, as the client here does.
pub(crate) const FORMS: [Form; 24] = [
    Form { name: "plain", lines: &[r#"{"command":"lock","name":"NAME"}"#, r#"{"command":"unlock","name":"NAME"}"#] },
    Form {
        name: "id",
        lines: &[
            r#"{"command":"lock","name":"NAME","id":123456}"#,
            r#"{"command":"unlock","name":"NAME","id":123457}"#,
        ],
    },
    Form {
        name: "owner",
        lines: &[
            r#"{"command":"lock","name":"NAME","owner":4711,"fence":true,"id":123456}"#,
            r#"{"command":"unlock","name":"NAME","owner":4711,"id":123457}"#,
        ],
    },
    Form {
        name: "owners",
        lines: &[
            r#"{"command":"lock","name":"NAME","owner":OWNER,"fence":true,"id":123456}"#,
            r#"{"command":"unlock","name":"NAME","owner":OWNER,"id":123457}"#,
        ],
    },
    Form {
        name: "long",
        lines: &[
            r#"{"command":"lock","name":"NAME","owner":1234OWNER,"fence":true,"id":12345678}"#,
            r#"{"command":"unlock","name":"NAME","owner":1234OWNER,"id":12345679}"#,
        ],
    },
    Form { name: "name-8", lines: &[r#"{"command":"lock","name":"/NAME"}"#, r#"{"command":"unlock","name":"/NAME"}"#] },
    Form {
        name: "name-24",
        lines: &[
            r#"{"command":"lock","name":"eu-west-1/zone-3/NAME"}"#,
            r#"{"command":"unlock","name":"eu-west-1/zone-3/NAME"}"#,
        ],
    },
    Form {
        name: "name-60",
        lines: &[
            r#"{"command":"lock","name":"com.example.game/production/eu-west-1/shard-4/zone-3/NAME"}"#,
            r#"{"command":"unlock","name":"com.example.game/production/eu-west-1/shard-4/zone-3/NAME"}"#,
        ],
    },
    Form {
        name: "timeout",
        lines: &[r#"{"command":"lock","name":"NAME","timeout":5}"#, r#"{"command":"unlock","name":"NAME"}"#],
    },
    Form {
        name: "fraction",
        lines: &[r#"{"command":"lock","name":"NAME","timeout":0.25}"#, r#"{"command":"unlock","name":"NAME"}"#],
    },
    Form {
        name: "fence",
        lines: &[r#"{"command":"lock","name":"NAME","fence":true}"#, r#"{"command":"unlock","name":"NAME"}"#],
    },
    Form {
        name: "nulls",
        lines: &[
            r#"{"command":"lock","name":"NAME","timeout":null,"queue_max":null}"#,
            r#"{"command":"unlock","name":"NAME"}"#,
        ],
    },
    Form {
        name: "python",
        lines: &[r#"{"command": "lock", "name": "NAME"}"#, r#"{"command": "unlock", "name": "NAME"}"#],
    },
    Form {
        name: "python-id",
        lines: &[
            r#"{"command": "lock", "name": "NAME", "id": 123456}"#,
            r#"{"command": "unlock", "name": "NAME", "id": 123457}"#,
        ],
    },
    Form {
        name: "python-all",
        lines: &[
            r#"{"id": 123456, "command": "lock", "name": "NAME", "owner": "player-OWNER", "timeout": 5.0}"#,
            r#"{"id": 123457, "command": "unlock", "name": "NAME", "owner": "player-OWNER"}"#,
        ],
    },
    Form {
        name: "ruby",
        lines: &[
            r#"{"command":"lock","name":"NAME","timeout":5,"owner":"player-OWNER","id":123456}"#,
            r#"{"command":"unlock","name":"NAME","owner":"player-OWNER","id":123457}"#,
        ],
    },
    Form {
        name: "js",
        lines: &[
            r#"{"id":"c81e-123456","command":"lock","name":"NAME","timeout":2.5}"#,
            r#"{"id":"c81e-123457","command":"unlock","name":"NAME"}"#,
        ],
    },
    Form {
        name: "go",
        lines: &[
            r#"{"id":123456,"command":"lock","name":"NAME","owner":"player-OWNER","timeout":5,"fence":true}"#,
            r#"{"id":123457,"command":"unlock","name":"NAME","owner":"player-OWNER"}"#,
        ],
    },
    Form {
        name: "go-map",
        lines: &[
            r#"{"command":"lock","id":123456,"name":"NAME","owner":"player-OWNER","timeout":5}"#,
            r#"{"command":"unlock","id":123457,"name":"NAME","owner":"player-OWNER"}"#,
        ],
    },
    Form {
        name: "csharp",
        lines: &[
            r#"{"command":"lock","name":"NAME","owner":OWNER,"timeout":2.5,"fence":false,"id":123456}"#,
            r#"{"command":"unlock","name":"NAME","owner":OWNER,"id":123457}"#,
        ],
    },
    Form {
        name: "lease",
        lines: &[r#"{"command":"lock","name":"NAME","lease":30}"#, r#"{"command":"unlock","name":"NAME"}"#],
    },
    Form {
        name: "renewed",
        lines: &[
            r#"{"command":"lock","name":"NAME","lease":30}"#,
            r#"{"command":"renew","name":"NAME"}"#,
            r#"{"command":"unlock","name":"NAME"}"#,
        ],
    },
    Form {
        name: "escaped",
        lines: &[r#"{"command":"lock","name":"caf\u00e9/NAME"}"#, r#"{"command":"unlock","name":"caf\u00e9/NAME"}"#],
    },
    Form {
        name: "names",
        lines: &[
            r#"{"command":"lock","names":["a/NAME","b/NAME"],"timeout":5}"#,
            r#"{"command":"unlock","names":["a/NAME","b/NAME"]}"#,
        ],
    },
];

/// These are counted in every layer, the others only in the server over a socket in memory: each row takes seconds.
const EVERYWHERE: [&str; 5] = ["plain", "id", "owner", "owners", "long"];

/// These may cost more than [`RATIO_MAX`](crate::RATIO_MAX) times the plain form: the first five have an id and an owner,
/// which replies return, and more, up to ten fields. Of the others, a lease is armed and ended, `renewed` has three requests
/// and `names` two locks, and an escape is read by serde_json.
const DEARER: [&str; 9] = ["python-all", "ruby", "go", "go-map", "csharp", "lease", "renewed", "escaped", "names"];

impl Form {
    pub(crate) fn is_everywhere(&self) -> bool {
        EVERYWHERE.contains(&self.name)
    }

    pub(crate) fn may_be_dearer(&self) -> bool {
        DEARER.contains(&self.name)
    }

    pub(crate) fn named(name: &str) -> &'static Form {
        FORMS.iter().find(|form| form.name == name).expect("a form that exists")
    }

    /// The lines of a number of pairs, each with a name of its own; all names have the same length.
    pub(crate) fn lines(&self, pairs: usize) -> String {
        assert!(pairs <= 100, "a name has two digits");
        let pair = |number| {
            let (name, owner) = (format!("boss:{number:02}"), format!("{}", 4711 + number));
            let lines = self.lines.iter().map(|line| format!("{line}\n")).collect::<String>();
            lines.replace("NAME", &name).replace("OWNER", &owner)
        };
        (0..pairs).map(pair).collect()
    }

    /// Asserts that these are the replies to a number of pairs: otherwise something else is counted.
    pub(crate) fn assert_granted(&self, replies: &[u8], pairs: usize) {
        let replies = str::from_utf8(replies).expect("replies are UTF-8");
        assert_eq!(replies.lines().count(), self.lines.len() * pairs, "{replies}");
        for (reply, line) in replies.lines().zip(self.lines.iter().cycle()) {
            let results = [("\"lock\"", "acquired"), ("\"unlock\"", "released"), ("\"renew\"", "renewed")];
            let (_, result) =
                results.iter().find(|(command, _)| line.contains(command)).expect("one of these commands");
            assert!(reply.contains(&format!("\"result\":\"{result}\"")), "{result} expected: {reply}");
        }
    }
}
