//! Which listeners may be reached from other machines: those where a client has to say who it is, and does not do so in
//! clear.

use super::listen::{BindError, Place};
use super::{Config, TlsOptions};
use crate::server::Access;

/// What decides about listeners that other machines can reach.
#[derive(Clone, Copy, Debug)]
pub(super) struct Protection {
    /// Anybody may lock something without saying who it is.
    is_open_to_all: bool,
    /// There are users, so that it is their file that may have to change.
    has_users: bool,
    /// Clients may send secrets.
    has_secrets: bool,
    /// Over TLS every client has to have a certificate.
    has_certificates: bool,
    /// The operator allows what nobody is kept from.
    is_open: bool,
    /// The operator allows secrets in clear.
    has_plain_secrets: bool,
}

impl Protection {
    pub(super) fn of(config: &Config, access: &Access) -> Self {
        Protection {
            is_open_to_all: access.is_open_to_all(),
            has_users: access.has_users(),
            has_secrets: access.has_secrets(),
            has_certificates: config.tls.as_ref().is_some_and(TlsOptions::requires_certificates),
            is_open: config.is_open,
            has_plain_secrets: config.has_plain_secrets,
        }
    }

    /// Fails if one of these listeners needs more protection.
    pub(super) fn check(&self, listeners: impl Iterator<Item = Place>) -> Result<(), BindError> {
        for place in listeners.filter(|place| !place.is_loopback()) {
            if self.is_open_to_all_at(&place) && !self.is_open {
                return Err(BindError::Unprotected { place: place.to_string(), has_users: self.has_users });
            }
            if self.has_secrets && !place.is_tls() && !self.has_plain_secrets {
                return Err(BindError::PlainSecrets { place: place.to_string() });
            }
        }
        Ok(())
    }

    /// Whether anybody on another machine can take locks at a listener.
    pub(super) fn is_open_to_all_at(&self, place: &Place) -> bool {
        // By HTTP nobody takes locks, and nobody on another machine is told anything without being a user.
        let is_reached = !place.is_loopback() && !place.is_http();
        self.is_open_to_all && is_reached && !(place.is_tls() && self.has_certificates)
    }
}

#[cfg(test)]
mod tests {
    use super::super::listen::Scheme;
    use super::*;

    /// Nobody is let in without saying who it is, and nothing is allowed in addition.
    const CLOSED: Protection = Protection {
        is_open_to_all: false,
        has_users: true,
        has_secrets: true,
        has_certificates: false,
        is_open: false,
        has_plain_secrets: false,
    };

    #[track_caller]
    fn expect(protection: Protection, address: &str, fault: Option<&str>) {
        expect_at(Place::tcp(address.parse().unwrap()), protection, fault);
    }

    #[track_caller]
    fn expect_at(place: Place, protection: Protection, fault: Option<&str>) {
        let said = protection.check([place].into_iter()).err().map(|error| error.to_string());
        match fault {
            None => assert_eq!(said, None),
            Some(fault) => assert!(said.as_ref().is_some_and(|said| said.contains(fault)), "{said:?}"),
        }
    }

    #[test]
    fn a_listener_that_other_machines_can_reach_must_ask_who_it_is() {
        let open = Protection { is_open_to_all: true, has_users: false, has_secrets: false, ..CLOSED };
        for address in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[2001:db8::1]:1"] {
            expect(open, address, Some("name the users in a file with --users, or allow it with --open"));
            expect(
                Protection { has_users: true, ..open },
                address,
                Some("change [anonymous] in the file of users, or"),
            );
            expect(Protection { is_open: true, ..open }, address, None);
            expect(Protection { has_secrets: false, ..CLOSED }, address, None);
        }
        for address in ["127.0.0.1:1", "127.3.2.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            expect(open, address, None);
        }
    }

    #[test]
    fn certificates_and_encryption_count_only_with_tls() {
        let open = Protection { is_open_to_all: true, has_users: false, has_secrets: false, ..CLOSED };
        let tls = Place::with(Scheme::Tls, "192.0.2.1:1".parse().unwrap());
        expect_at(tls.clone(), open, Some("--open"));
        expect_at(tls.clone(), Protection { has_certificates: true, ..open }, None);
        expect(Protection { has_certificates: true, ..open }, "192.0.2.1:1", Some("--open"));
        expect_at(tls, CLOSED, None);
    }

    #[test]
    fn secrets_do_not_come_in_clear_from_other_machines_unless_that_is_allowed() {
        for address in ["0.0.0.0:1", "192.0.2.1:1"] {
            expect(CLOSED, address, Some("use tls:// there, or allow it with --plain-secrets"));
            // The one does not stand for the other.
            expect(Protection { is_open: true, ..CLOSED }, address, Some("--plain-secrets"));
            expect(Protection { has_plain_secrets: true, ..CLOSED }, address, None);
        }
        expect(CLOSED, "127.0.0.1:1", None);
    }

    #[test]
    fn by_http_nobody_takes_locks_and_users_send_secrets() {
        let at = |scheme| Place::with(scheme, "192.0.2.1:1".parse().unwrap());
        let open = Protection { is_open_to_all: true, has_users: false, has_secrets: false, ..CLOSED };
        expect_at(at(Scheme::Http), open, None);
        assert!(!open.is_open_to_all_at(&at(Scheme::Http)));
        expect_at(at(Scheme::Http), CLOSED, Some("use https:// there, or allow it with --plain-secrets"));
        expect_at(at(Scheme::Http), Protection { has_plain_secrets: true, ..CLOSED }, None);
        expect_at(at(Scheme::Https), CLOSED, None);
    }
}
