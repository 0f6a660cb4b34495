//! Certificates and keys in files: what is wrong with them is said in a line, and what is only doubtful is a warning.

use std::fs;

use officer::net::TlsOptions;

use crate::certificates::{Authority, Valid};
use crate::directory::Directory;

#[test]
fn files_that_are_not_good_are_named_in_one_line() {
    let directory = Directory::new();
    let authority = Authority::new(&directory, "authority");
    let good = authority.issue("good", &["dns:localhost"], Valid::Now);
    let other = authority.issue("other", &["dns:localhost"], Valid::Now);
    let file = |name: &str, content: &[u8]| {
        fs::write(directory.file(name), content).unwrap();
        directory.file(name)
    };
    let (empty, text, broken) = (
        file("empty", b""),
        file("text", b"certificate\n"),
        file("broken", b"-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n"),
    );
    let garbage = file("garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let absent = directory.file("absent");
    // Opening it waits for nobody.
    let fifo = directory.file("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
    // Everybody would wait while it is read.
    let huge = file("huge", b"");
    fs::File::options().write(true).open(&huge).unwrap().set_len((4 << 20) + 1).unwrap();
    for (cert, key, client_ca, expected) in [
        (&absent, &good.key, None, "cannot read /absent: "),
        (&good.cert, &absent, None, "cannot read /absent: "),
        (&good.cert, &fifo, None, "cannot read /fifo: it is not a regular file; "),
        (&huge, &good.key, None, "cannot read /huge: it is larger than 4194304 bytes; "),
        (&empty, &good.key, None, "/empty has no certificate; "),
        (&text, &good.key, None, "/text has no certificate; "),
        (&broken, &good.key, None, "/broken is not a PEM file "),
        (&garbage, &good.key, None, "cannot use /garbage: "),
        (&good.cert, &good.cert, None, "/good.pem has no private key that can be used; "),
        (
            &good.cert,
            &other.key,
            None,
            "the key in /other.key.pem does not belong to the first certificate in /good.pem; ",
        ),
        (&good.cert, &good.key, Some(&good.key), "/good.key.pem has no certificate; "),
        (&good.cert, &good.key, Some(&garbage), "cannot use the certificates in /garbage to check clients: "),
    ] {
        let mut options = TlsOptions::new(cert, key);
        options.client_ca = client_ca.cloned();
        let said = options.load().expect_err(expected).to_string();
        let said = said.replace(&directory.file("").display().to_string(), "/");
        assert!(said.starts_with(expected) && !said.contains('\n'), "{said}, not {expected}");
    }
}

#[test]
fn a_certificate_that_is_not_valid_now_is_warned_about() {
    let directory = Directory::new();
    let authority = Authority::new(&directory, "authority");
    for (valid, expires, expected) in [
        (Valid::Now, 32_503_680_000, None),
        (Valid::Before, 978_307_200, Some(" expired ")),
        (Valid::Later, 32_503_680_000, Some(" is not valid for another ")),
    ] {
        let identity = authority.issue("server", &["dns:localhost"], valid);
        let server = TlsOptions::new(identity.cert, identity.key).load().unwrap();
        assert_eq!(server.expires(), Some(expires));
        match (server.warnings(), expected) {
            ([], None) => {}
            ([warning], Some(expected)) => assert!(warning.contains(expected), "{warning}"),
            (warnings, expected) => panic!("{warnings:?}, not {expected:?}"),
        }
    }
}
