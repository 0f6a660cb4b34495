//! A holder hands its lock to somebody who waits for it.

use super::fit::Kind;
use super::text::answer;
use super::{Model, Said, Target, Who};

impl Model {
    /// `to`: the connection as listings show it, if it is another than the asker's, and the owner.
    pub(super) fn transfer(
        &mut self,
        who: &Who,
        name: &str,
        to: (Option<&str>, Option<&str>),
        token: Option<u64>,
        now: u64,
        said: &mut Said,
    ) -> String {
        let target = Target::One(name.to_owned());
        let failed = |held: bool| answer(&target, "transfer_failed", &format!(r#","held":{held}"#));
        let hold = self.hold_of(who, name).filter(|hold| token.is_none_or(|token| hold.token == token)).cloned();
        let Some(hold) = hold else { return failed(false) };
        if hold.kind != Kind::Exclusive {
            self.met.push("a transfer of what others hold as well");
            return failed(true);
        }
        if hold.since.saturating_add(hold.terms.min_hold) > now {
            self.met.push("a transfer while min_hold runs");
            return failed(true);
        }
        let Some((number, place)) = self.heir(who, name, to) else {
            return failed(true);
        };
        if hold.is_out_of_turn && place > 0 {
            self.met.push("a second transfer past the first who waits");
            return failed(true);
        }

        self.holds.retain(|other| other.token != hold.token || other.name != name);
        self.counts.releases += 1;
        self.counts.transfers += 1;
        self.happen("released", name, Some(who), said);
        let wait = self.take(number);
        let heir = wait.who.clone();
        self.grant(wait, vec![name.to_owned()], now, said);
        let granted = self.holds.iter_mut().find(|hold| hold.who == heir && hold.name == name);
        granted.expect("it was granted").is_out_of_turn = place > 0;
        if place > 0 {
            self.met.push("a transfer out of turn");
        }
        // The grant that this end brings has been made.
        self.settle_in_order([(name.to_owned(), false)].into(), now, said);
        answer(&target, "transferred", "")
    }

    /// The wait that is meant, if the lock may be handed to it, and its place in the queue.
    fn heir(&mut self, who: &Who, name: &str, (to, to_owner): (Option<&str>, Option<&str>)) -> Option<(u64, usize)> {
        let seat = match to {
            None => who.seat,
            Some(to) => self.clients.iter().find(|client| client.connection == to)?.seat,
        };
        if super::session::is_away(seat) {
            self.met.push("a transfer to a session without a connection");
            return None;
        }
        let heir = Who { seat, owner: to_owner.map(str::to_owned) };
        let wait = self.wait_of(&heir, name)?;
        if wait.is_several() {
            self.met.push("a transfer to who waits for several");
            return None;
        }
        let number = wait.number;
        let place = self.queue(name).iter().position(|other| *other == number)?;
        Some((number, place))
    }
}
