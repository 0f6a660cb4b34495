use super::*;
use crate::wire::request::parse_in_full;

fn recognise_line<'a>(text: &'a str, shapes: &mut Shapes) -> Option<(Plain<'a>, &'a str)> {
    let mut plain = Plain::default();
    let after = Start::of(text).recognise(text, shapes, &mut plain)?;
    Some((plain, after))
}

/// Whether the line was recognised as plain; if so, or nearly so, checks that the general parser reads the same.
#[track_caller]
fn is_recognised(line: impl AsRef<[u8]>) -> bool {
    let line = line.as_ref();
    let alone = recognise(line);
    if let Some(request) = &alone {
        assert_eq!(Ok(request), parse_in_full(line).as_ref(), "{}", line.escape_ascii());
    }
    let plain = alone.filter(|request| is_plain(request, line));
    // Whatever follows it, the line is read as it is alone, and only when its end is there.
    if let Ok(text) = std::str::from_utf8(line) {
        let mut shapes = Shapes::default();
        // At first its shape is not known.
        for next in ["", "}", "\n", "9999", text] {
            assert_eq!(recognise_line(text, &mut shapes), None, "{text}");
            let lines = format!("{text}\n{next}");
            let in_lines = recognise_line(&lines, &mut shapes).map(|(plain, after)| (plain.into(), after));
            assert_eq!(in_lines, plain.clone().map(|request| (request, next)), "{lines}");
        }
    }
    plain.is_some()
}

/// Whether the line can be a [`Plain`], of which this is the request.
fn is_plain(request: &Request<'_>, line: &[u8]) -> bool {
    let Command::Locks(operation) = &request.command else { panic!("{request:?} is recognised") };
    let is_plain = matches!(operation, Operation::Lock(_) | Operation::Unlock { .. } | Operation::KeepAlive);
    // These keys and escapes are looked at even where they are ignored.
    let has = |text: &[u8]| memchr::memmem::find(line, text).is_some();
    is_plain && ![&b"\"lease\":"[..], b"\"names\":", b"\"any\":", b"\\"].into_iter().any(has)
}

/// What clients send.
const LINES: [&str; 27] = [
    r#"{"command":"lock","name":"boss:17"}"#,
    r#"{"command":"lock","name":"boss:17","timeout":null,"queue_max":null}"#,
    r#"{"command":"lock","name":"boss:17","timeout":5,"queue_max":3}"#,
    r#"{"command":"lock","name":"boss:17","timeout":0.25}"#,
    r#"{"command":"lock","id":7,"name":"boss:17","timeout":5.0}"#,
    r#"{"command":"unlock","id":8,"name":"boss:17"}"#,
    r#"{"command":"unlock","name":"boss:17"}"#,
    r#"{"command":"keep_alive"}"#,
    r#"{"command":"keep_alive","id":"k-1"}"#,
    r#"{"name":"boss:17","command":"lock"}"#,
    r#"{"command": "lock", "name": "boss:17", "timeout": 5, "queue_max": 1, "id": "x"}"#,
    r#"{"command":"lock","name":"café 🔒"}"#,
    r#"{"command":"lock","name":"boss:17","owner":4711,"fence":true,"id":7}"#,
    r#"{"command":"lock","name":"boss:17","owner":"player-5","fence":false}"#,
    r#"{"command":"lock","name":"boss:17","fence": null, "owner": 9007199254740991}"#,
    r#"{"owner":"","command":"unlock","name":"boss:17","token":1234567890123456}"#,
    r#"{"command":"unlock","name":"boss:17","token":null}"#,
    r#"{"command":"lock","name":"boss:17","owner":"player-5"}"#,
    r#"{"command":"unlock","name":"boss:17","owner":"player-5"}"#,
    // As libraries of other languages write them: in the order of insertion, sorted, with spaces, and with omitted fields
    // as null.
    r#"{"id": 1, "command": "lock", "name": "boss:17", "owner": "player-5", "timeout": 5.0, "fence": true}"#,
    r#"{"command":"lock","id":7,"name":"boss:17","owner":"player-5","timeout":5}"#,
    r#"{"command":"unlock","id":"c81e-7","name":"boss:17","owner":4711,"token":1234567890123456}"#,
    r#"{"id":null,"command":"lock","name":"boss:17","owner":null,"fence":null,"timeout":2.5}"#,
    r#"{ "command":"lock","name":"boss:17"}"#,
    // Fields of other commands.
    r#"{"command":"keep_alive","owner":7,"fence":true,"token":5}"#,
    r#"{"command":"unlock","name":"boss:17","fence":true,"timeout":1}"#,
    r#"{"command":"lock","name":"boss:17","token":5}"#,
];

#[test]
fn the_lines_that_clients_send_are_recognised() {
    for line in LINES {
        assert!(is_recognised(line), "{line}");
    }
}

/// Whatever shapes are known: those of the same line, of all, and none.
#[test]
fn what_is_recognised_does_not_depend_on_the_shapes_that_are_known() {
    let lines = LINES.map(|line| format!("{line}\n"));
    let mut of_all = Shapes::default();
    let mut check = |line: &str, changed: &str| {
        let unknown = recognise_line(changed, &mut Shapes::default());
        let mut of_line = Shapes::default();
        recognise_line(line, &mut of_line).expect("it is plain");
        // Timeouts that differ.
        for timeout in ["\":6", "\": 6"] {
            let other = line.replace(&timeout.replace('6', "5"), timeout).replace(&timeout.replace('6', "2"), timeout);
            recognise_line(&other, &mut of_line).expect("it is plain");
        }
        assert_eq!(recognise_line(changed, &mut of_line), unknown, "{changed}");
        assert_eq!(recognise_line(changed, &mut of_all), unknown, "{changed}");
    };
    let texts = [0, 1, 63, 64, 65, 1024, 1025].map(|length| "x".repeat(length));
    let numbers =
        ["0", " 7", "07", "-7", "7.0", "7e1", "9007199254740991", "9007199254740992", "12345678901234567", "null"];
    for line in &lines {
        for at in 0..line.len() {
            for byte in *b"\"\\\n 0179x,}n" {
                let mut changed = line.clone().into_bytes();
                changed[at] = byte;
                if let Ok(changed) = String::from_utf8(changed) {
                    check(line, &changed);
                }
            }
        }
        for value in ["boss:17", "player-5", "c81e-7", "k-1"] {
            texts.iter().for_each(|text| check(line, &line.replace(value, text)));
        }
        for key in ["id", "owner", "token", "timeout"] {
            for space in ["", " "] {
                let key = format!("\"{key}\":{space}");
                let Some((before, value)) = line.split_once(&key) else { continue };
                let after = value.trim_start_matches(|char: char| char.is_ascii_digit());
                numbers.iter().for_each(|number| check(line, &format!("{before}{key}{number}{after}")));
            }
        }
    }
}

#[test]
fn lines_that_are_nearly_plain_are_recognised_on_their_own() {
    for line in [
        r#"{"command":"lock","name":"boss:17","lease":30}"#,
        r#"{"command": "lock", "name": "boss:17", "lease": 30.0, "fence": true, "owner": "player-5", "id": 7}"#,
        r#"{"command":"lock","names":["a","b"],"timeout":5,"queue_max":3,"lease":0.5}"#,
        r#"{"id": 1, "command": "lock", "names": ["player:1", "player:2", "caf\u00e9"], "fence": true}"#,
        r#"{"command":"unlock","names":["a","b"],"token":1234567890123456}"#,
        r#"{"command":"lock","names":["a","b"],"any":true,"timeout":0}"#,
        r#"{"any": false, "command": "lock", "names": ["a", "b"]}"#,
        r#"{"command":"renew","name":"boss:17"}"#,
        r#"{"command":"renew","name":"boss:17","lease":30,"token":5,"owner":4711,"id":7}"#,
        r#"{"id": "r", "command": "renew", "names": ["a", "b"], "lease": null}"#,
        r#"{"command":"lock","name":"caf\u00e9 \ud83d\udd12"}"#,
        r#"{"command":"unlock","name":"\"\\\/\b\f\n\r\t\u0000"}"#,
        r#"{"command":"renew","name":"\u003cboss\u003e \u0026 \u0027"}"#,
        // Fields of other commands.
        r#"{"command":"renew","name":"boss:17","fence":true,"timeout":1,"queue_max":null}"#,
        r#"{"command":"unlock","names":["a","b"],"lease":0,"fence":true,"any":true}"#,
        r#"{"command":"renew","name":"a","any":true}"#,
    ] {
        assert!(!is_recognised(line), "{line}: it is not plain");
        assert!(recognise(line.as_bytes()).is_some(), "{line}");
    }
    // These are plain all the same: unlocking ends a lease.
    assert!(is_recognised(r#"{"command":"lock","name":"boss:17","token":5}"#));
    let names = |count: usize| (0..count).map(|number| format!("\"{number}\"")).collect::<Vec<_>>().join(",");
    let many = |count: usize| format!(r#"{{"command":"lock","names":[{}]}}"#, names(count));
    for count in [0, 1, 2, 3, 64, 65, 66] {
        let request = recognise(many(count).as_bytes()).is_some();
        assert_eq!(request, (2..=64).contains(&count), "{count} names");
        assert_eq!(parse_in_full(many(count).as_bytes()).is_ok(), request, "{count} names");
    }
    for line in [
        r#"{"command":"lock","names":["a","a"]}"#,
        r#"{"command":"lock","names":["a",""]}"#,
        r#"{"command":"lock","names":["a","b",]}"#,
        r#"{"command":"lock","names":["a" "b"]}"#,
        r#"{"command":"lock","names":["a",5]}"#,
        r#"{"command":"lock","names":["a","b"}"#,
        r#"{"command":"lock","names":"a"}"#,
        r#"{"command":"lock","names":["a","b"],"name":"c"}"#,
        r#"{"command":"lock","names":["a","b"],"names":["a","b"]}"#,
        r#"{"command":"lock","name":"a","any":true}"#,
        r#"{"command":"lock","name":"a","any":false}"#,
        r#"{"command":"lock","names":["a","b"],"any":1}"#,
        r#"{"command":"lock","names":["a","b"],"any":true,"any":true}"#,
        r#"{"command":"lock","name":"a","lease":0}"#,
        r#"{"command":"lock","name":"a","lease":0.0}"#,
        r#"{"command":"lock","name":"a","lease":1,"lease":1}"#,
        r#"{"command":"lock","name":"a","lease":"1"}"#,
        r#"{"command":"renew"}"#,
        r#"{"command":"renew","name":"a","lease":0}"#,
        r#"{"command":"lock","name":"\ud83d"}"#,
        r#"{"command":"lock","name":"\u12"}"#,
        r#"{"command":"lock","name":"\x"}"#,
        r#"{"command":"lock","name":"a\"}"#,
        r#"{"command":"lock","name":"a\"#,
        r#"{"command":"lock","name":"a\""#,
    ] {
        assert_eq!(recognise(line.as_bytes()), None, "{line}");
    }
}

#[test]
fn unusual_lines_are_left_to_the_general_parser() {
    let name = |name: &str| format!(r#"{{"command":"lock","name":{name}}}"#);
    let timeout = |timeout: &str| format!(r#"{{"command":"lock","name":"a","timeout":{timeout}}}"#);
    let id = |id: &str| format!(r#"{{"command":"unlock","name":"a","id":{id}}}"#);
    let mut lines: Vec<String> = [
        "",
        "{}",
        "{",
        r#""command""#,
        r#"{"command":"lock"}"#,
        r#"{"command":"unlock"}"#,
        r#"{"name":"a"}"#,
        r#"{"command":"lick","name":"a"}"#,
        r#"{"command":"lock","name":"a"} "#,
        "{\"command\":\"lock\",\"name\":\"a\"}\r",
        r#" {"command":"lock","name":"a"}"#,
        r#"{"command" :"lock","name":"a"}"#,
        r#"{"command":  "lock","name":"a"}"#,
        r#"{"command":"lock","name":"a",}"#,
        r#"{"command":"lock","name":"a"}}"#,
        r#"{"command":"lock","name":"a""#,
        r#"{"command":"lock","name":"a"#,
        r#"{"command":"lock","name":""#,
        r#"{"command":"lock","name":"a","name":"b"}"#,
        r#"{"command":"lock","command":"lock","name":"b"}"#,
        r#"{"command":"lock","name":"a","timeout":1,"timeout":null}"#,
        r#"{"command":"lock","name":"a","timeout":null,"timeout":1}"#,
        r#"{"command":"lock","name":"a","queue_max":null,"queue_max":1}"#,
        r#"{"command":"lock","name":"a","id":1,"id":1}"#,
        r#"{"command":"lock","name":"a","owner":1,"owner":1}"#,
        r#"{"command":"lock","name":"a","fence":null,"fence":true}"#,
        r#"{"command":"unlock","name":"a","token":1,"token":null}"#,
        r#"{"command":"lock","name":"a","owner":true}"#,
        r#"{"command":"lock","name":"a","fence":1}"#,
        r#"{"command":"lock","name":"a","fence":truee}"#,
        r#"{"command":"lock","name":"a","fence":"true"}"#,
        r#"{"command":"unlock","name":"a","token":"1"}"#,
        r#"{"command":"lock","name":"a","mode":"shared"}"#,
        r#"{"command":"unlock","names":["a","b"]}"#,
        r#"{"command":"lock","name":"a","other":1}"#,
        r#"{"command":"lock","name":"a","queue_max":1.0}"#,
        r#"{"command":"lock","name":"a","queue_max":-1}"#,
    ]
    .map(str::to_owned)
    .into();
    lines.extend(["null", "5", "\"\"", r#""\u0041""#, r#""a\n""#, "\"a\u{1}\"", "[]"].map(name));
    lines.extend([format!("\"{}\"", "x".repeat(1025))].iter().map(|text| name(text)));
    lines.extend(
        ["-1", "1e3", "01", "1.", ".5", "\"1\"", "true", "9007199254740992", "12345678901234567", "nul", "1.5e3"]
            .map(timeout),
    );
    lines.extend(["-1", "01", "1.0", "9007199254740992", "12345678901234567", "true"].map(id));
    lines.extend([format!("\"{}\"", "x".repeat(65))].iter().map(|text| id(text)));
    for line in lines {
        assert!(!is_recognised(&line), "{line}");
    }
    assert!(!is_recognised(b"{\"command\":\"lock\",\"name\":\"\xff\"}"));
}

#[test]
fn a_name_of_any_length_ends_at_its_quote_and_any_special_byte_in_it_is_seen() {
    for length in 1..=40 {
        for tail in ["}", r#","timeout":1}"#, r#","id":"abc","queue_max":2}"#] {
            let start = r#"{"command":"lock","name":""#;
            let line = format!("{start}{}\"{tail}", "x".repeat(length));
            assert!(is_recognised(&line), "{line}");
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut line = line.clone().into_bytes();
                    line[start.len() + at] = byte;
                    let is_plain = byte.is_ascii() && byte >= 0x20 && !b"\"\\".contains(&byte);
                    assert_eq!(is_recognised(&line), is_plain, "{}", line.escape_ascii());
                }
            }
        }
    }
}

#[test]
fn numbers_of_every_length_are_read_after_the_name_and_at_the_end_of_the_text() {
    let all = "1234567890123456";
    for digits in 1..=all.len() {
        let number = &all[..digits];
        for fields in [
            format!(r#","owner":{number}"#),
            format!(r#","id":{number}"#),
            format!(r#","owner":{number},"id":{number}"#),
            format!(r#","owner":{number},"fence":true,"id":{number}"#),
            format!(r#","id":{number},"owner":{number},"timeout":1"#),
        ] {
            for command in ["lock", "unlock"] {
                let line = format!(r#"{{"command":"{command}","name":"a"{fields}}}"#);
                assert!(is_recognised(&line), "{line}");
                // A number that ends with the text ends no line.
                assert!(!is_recognised(line.strip_suffix('}').unwrap()), "{line}");
            }
        }
    }
    for number in ["0", "01", "00000001", "0123456789", "", "-1", "1.0", "9007199254740992"] {
        let line = format!(r#"{{"command":"lock","name":"a","owner":{number},"id":{number}}}"#);
        assert_eq!(is_recognised(&line), number == "0", "{line}");
    }
}

#[test]
fn seconds_are_read_as_the_general_parser_reads_them_however_they_are_written() {
    let mut random = fastrand::Rng::with_seed(7);
    let whole = ["0", "1", "5", "30", "86400", "9007199", "9007200", "123456789", "9007199254740991"];
    // As many as are exact in nanoseconds, and up to the longest span.
    let drawn: Vec<String> =
        (0..2000).map(|number| random.u64(0..[20_000_000, 18_000_000_000][number % 2]).to_string()).collect();
    for whole in whole.map(str::to_owned).into_iter().chain(drawn) {
        for digits in 0..=12 {
            let fraction: String = (0..digits).map(|_| random.digit(10)).collect();
            let point = if digits > 0 { "." } else { "" };
            for fraction in [fraction.as_str(), &"0".repeat(digits), &"9".repeat(digits)] {
                let line = format!(r#"{{"command":"lock","name":"a","timeout":{whole}{point}{fraction}}}"#);
                assert!(is_recognised(&line), "{line}");
            }
        }
    }
}

/// Lines made of pieces that mostly fit together, some of them changed in one byte or truncated.
#[test]
fn random_lines_are_read_as_the_general_parser_reads_them() {
    const COMMANDS: [&str; 5] = [r#""lock""#, r#""unlock""#, r#""renew""#, r#""keep_alive""#, r#""ping""#];
    const ARRAYS: [&str; 4] = [r#"["a","b"]"#, r#"["a", "caf\u00e9", "c"]"#, r#"["a"]"#, r#"["a","a"]"#];
    const NAMES: [&str; 6] = [r#""a""#, r#""player:123456""#, r#""é: 🔒""#, r#""\u0041""#, r#""""#, "7"];
    const NUMBERS: [&str; 11] =
        ["0", "5", "100", "0.25", "2.0", "0.3000000001", "999999999999999", "null", "00", "-1", "9007199254740993"];
    const TRUTHS: [&str; 5] = ["true", "false", "null", "tru", "1"];
    const FIELDS: [(&str, &[&str]); 13] = [
        ("command", &COMMANDS),
        ("name", &NAMES),
        ("id", &NAMES),
        ("timeout", &NUMBERS),
        ("queue_max", &NUMBERS),
        ("id", &NUMBERS),
        ("owner", &NAMES),
        ("owner", &NUMBERS),
        ("token", &NUMBERS),
        ("fence", &TRUTHS),
        ("prefix", &NAMES),
        ("lease", &NUMBERS),
        ("names", &ARRAYS),
    ];
    let mut random = fastrand::Rng::with_seed(5);
    let (mut recognised, mut refused) = (0, 0);
    for _ in 0..300_000 {
        let mut fields = FIELDS.to_vec();
        random.shuffle(&mut fields[2..]);
        fields.truncate(random.usize(1..6));
        if random.u8(0..4) == 0 {
            random.shuffle(&mut fields);
        }
        let spaces = [[""; 10], ["", " ", "", " ", " ", " ", "", "", "", "  "]][random.usize(0..2)];
        let mut space = || spaces[random.usize(0..10)];
        let spaces: Vec<[&str; 2]> = fields.iter().map(|_| [space(), space()]).collect();
        let texts = fields.iter().zip(&spaces).map(|((key, values), [before, after])| {
            format!("{before}\"{key}\":{after}{}", values[random.usize(0..values.len())])
        });
        let mut line = format!("{{{}}}", texts.collect::<Vec<_>>().join(",")).into_bytes();
        match random.u8(0..8) {
            0 => {
                let at = random.usize(0..line.len());
                line[at] = random.u8(0..=u8::MAX);
            }
            1 => line.truncate(random.usize(0..line.len())),
            _ => {}
        }
        *(if is_recognised(&line) { &mut recognised } else { &mut refused }) += 1;
    }
    assert!(recognised > 20_000 && refused > 20_000, "both come often: {recognised} and {refused}");
}
