use super::file::File;
use super::*;
use crate::server::Credentials;
use crate::wire::peer::Peer;
use crate::wire::request::Login;

/// The SHA-256 of nothing, and of "abc": FIPS 180-2, appendix B.1.
const OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn refused(text: &str) -> String {
    Access::parse(text).expect_err(text).to_string()
}

fn roles(text: &str) -> Roles {
    let mut roles = Roles::default();
    roles.set(Access::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")), |_| 0);
    roles
}

fn loopback() -> Peer {
    Peer::V4 { ip: [127, 0, 0, 1], port: 7 }
}

fn far_away() -> Peer {
    Peer::V4 { ip: [192, 0, 2, 1], port: 7 }
}

fn with_uid(uid: u32) -> Credentials {
    Credentials { uid: Some(uid), gid: Some(9), names: Vec::new() }
}

fn with_names(names: &[&str]) -> Credentials {
    Credentials { names: names.iter().map(ToString::to_string).collect(), ..Credentials::default() }
}

#[test]
fn a_whole_file_is_read() {
    let text = format!(
        r#"
        [users.game]
        secret_sha256 = ["{OF_ABC}", "{OF_NOTHING}"]
        certificate = "dns:zone-7.game.example"
        uid = [1001]
        locks = ["player:", "boss:"]
        see = ["player:"]
        connections_max = 5000
        sessions_max = 6000
        locks_max = 200000
        requests_per_second = 50000
        priority_max = 3
        min_hold_max = 0.5
        closing_locks_max = 90000
        [users.ops]
        gid = 27
        admin = true
        [users.prometheus]
        certificate = ["uri:spiffe://example/prometheus"]
        metrics = true
        [anonymous]
        from = ["anywhere"]
        locks = [""]
        "#
    );
    let access = Access::parse(&text).expect("it is well-formed");
    assert!(access.has_users() && access.is_open_to_all() && access.has_secrets());
    assert_eq!(access.users(), 3);
    let roles = roles(&text);
    let [game, ops, prometheus] = ["game", "ops", "prometheus"].map(|user| roles.of_user(user).expect("it is there"));
    assert_eq!([game, ops, prometheus].map(|role| roles.is_admin(role)), [false, true, false]);
    for (name, is_seen) in [("player:1", true), ("boss:1", false), ("x", false)] {
        assert_eq!((roles.may_see(game, name), roles.may_see(ops, name)), (is_seen, true), "{name}");
    }
    assert_eq!(
        [game, ops, prometheus].map(|role| (roles.connections_max(role, 100), roles.sessions_max(role, 1))),
        [(5000, 6000), (50, 1), (50, 1)]
    );
    assert_eq!([game, ops, prometheus].map(|role| roles.group(role).map(|(_, max)| max)), [Some(200_000), None, None]);
    let share = |role| roles.closing_share(role, 100_000).map(|(_, max)| max);
    assert_eq!([game, ops, prometheus].map(share), [Some(90_000), Some(50_000), Some(50_000)]);
    assert_eq!([game, ops, prometheus].map(|role| roles.is_restricted(role)), [true, false, true]);
}

#[test]
fn what_is_wrong_with_a_file_is_said_on_one_line() {
    for (text, said) in [
        ("users = 1", "line 1: invalid type"),
        ("[users.game]\nsecret = 'x'", "line 2: unknown field `secret`"),
        ("[users.game]\nuid = 1\n[users.game]\nuid = 2", "line 3: duplicate key"),
        ("[user.game]\nuid = 1", "line 1: unknown field `user`"),
        ("[users.game]\nlocks = ['a']", "line 1: [users.game]: needs secret_sha256, certificate, uid or gid"),
        ("# a\n\n[users.game]\nsecret_sha256 = 'abc'", "line 3: [users.game]: secret_sha256 has 64 hexadecimal digits"),
        ("[users.game]\nuid = '1'", "line 2: expected one value or an array of them"),
        ("users.game = { uid = 65534 }", "line 1: [users.game]: 65534 is nobody's id"),
        ("[users.game]\ngid = [1, 4294967295]", "4294967295 is nobody's id"),
        ("[users.game]\nuid = 4294967296", "line 2: expected one value"),
        ("[users.game]\ncertificate = 'CN=x'", "certificate begins with dns: or uri:"),
        ("[users.'a b']\nuid = 1", "the name of a user has 1 to 64 letters"),
        ("[users.a]\nuid = 1\n[users.'']\nuid = 1", "line 3: users: the name of a user has 1 to 64 letters"),
        ("[users.a]\nuid = 1\n[users.b]\nuid = 1", "line 3: [users.b]: has a uid that [users.a] has as well"),
        ("[users.b]\nuid = 1\n[users.a]\nuid = 1", "line 3: [users.a]: has a uid that [users.b] has as well"),
        ("[users.z]\n\n[users.y]\n[users.x]", "line 1: [users.z]: needs"),
        ("[users.a]\ngid = 1\n[users.b]\ngid = [2, 1]", "[users.b]: has a gid that"),
        ("[users.a]\ncertificate = 'dns:x'\n[users.b]\ncertificate = 'dns:x'", "[users.b]: has a certificate that"),
        ("[users.a]\nuid = 1\nconnections_max = 0", "connections_max is at least 1"),
        ("[users.a]\nuid = 1\nrequests_per_second = 0", "requests_per_second is at least 1"),
        ("[users.a]\nuid = 1\nclosing_locks_max = 0", "closing_locks_max is at least 1"),
        ("[users.a]\nuid = 1\npriority_max = 8", "priority_max is at most 7"),
        ("[users.a]\nuid = 1\nmin_hold_max = 86401.0", "min_hold_max is from 0 to 86400 seconds"),
        ("[users.a]\nuid = 1\nmin_hold_max = -1", "min_hold_max is from 0 to 86400 seconds"),
        ("[users.a]\nuid = 1\nmin_hold_max = nan", "min_hold_max is from 0 to 86400 seconds"),
        ("[users.a]\nuid = 1\nfrom = ['unix']", "[users.a]: from is for [anonymous]"),
        (
            "[users.a]\nuid = 1\n[anonymous]\nuid = 1",
            "line 3: [anonymous]: secret_sha256, certificate, uid and gid are for users",
        ),
        ("[anonymous]\nfrom = ['here']", "line 2: unknown variant `here`"),
        ("[users.a\nuid = 1", "line 1:"),
    ] {
        let error = refused(text);
        assert!(error.contains(said) && !error.contains('\n'), "{text}: {error}");
    }
    let text = format!("[users.a]\nsecret_sha256 = '{OF_ABC}'\n[users.b]\nsecret_sha256 = '{OF_ABC}'");
    assert_eq!(refused(&text), "line 3: [users.b]: has a secret_sha256 that [users.a] has as well");
    assert!(refused(&format!("#{}", "x".repeat(1 << 20))).contains("larger than 1048576 bytes"));
    let many: String = (0..10_001).map(|number| format!("[users.u{number}]\nuid = {}\n", 100_000 + number)).collect();
    assert!(refused(&many).contains("more than 10000 users"));
    let long = format!("[users.a]\nuid = 1\nlocks = ['{}']", "x".repeat(1025));
    assert!(refused(&long).contains("more than 1024 bytes"));
}

#[test]
fn a_file_may_be_as_large_as_the_limits_and_have_as_many_users() {
    let largest = format!("#{}", "x".repeat((1 << 20) - 1));
    assert_eq!(Access::parse(&largest).expect("just a comment").users(), 0);
    let most: String = (0..10_000).map(|number| format!("[users.u{number}]\nuid = {}\n", 100_000 + number)).collect();
    assert_eq!(Access::parse(&most).expect("as many as there may be").users(), 10_000);
}

#[test]
fn an_access_tells_whether_there_are_users_and_secrets() {
    let file = |text: &str| Access::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let secret = format!("[users.a]\nsecret_sha256 = '{OF_ABC}'");
    for (access, has_users, has_secrets) in [
        (Access::default(), false, false),
        (file(""), true, false),
        (file("[users.a]\nuid = 1"), true, false),
        (file(&secret), true, true),
    ] {
        assert_eq!((access.has_users(), access.has_secrets()), (has_users, has_secrets), "{access:?}");
    }
}

#[test]
fn a_user_may_repeat_what_is_its_own() {
    let text = format!("[users.a]\nsecret_sha256 = ['{OF_ABC}', '{OF_ABC}']\nuid = [1, 1]");
    assert_eq!(File::parse(&text).expect("nobody else has them").users.len(), 1);
}

#[test]
fn a_socket_tells_who_its_peer_is_or_not() {
    let roles = roles(
        "[users.a]\nuid = 1\ncertificate = 'dns:a'\n[users.b]\nuid = 2\ngid = 5\ncertificate = ['dns:b', 'uri:b']\n\
         [anonymous]\nlocks = ['']",
    );
    let of = |user| Identity::Known(roles.of_user(user).expect("it is there"));
    let nobody = Credentials::default();
    let unix = Peer::Unix(1);
    for (peer, credentials, identity) in [
        (unix, with_uid(1), of("a")),
        (unix, with_uid(2), of("b")),
        (unix, Credentials { uid: Some(1), gid: Some(5), names: Vec::new() }, Identity::Several),
        (unix, Credentials { uid: Some(2), gid: Some(5), names: Vec::new() }, of("b")),
        (far_away(), with_names(&["dns:a"]), of("a")),
        (far_away(), with_names(&["uri:b", "dns:b", "dns:other"]), of("b")),
        (far_away(), with_names(&["dns:a", "dns:b"]), Identity::Several),
        (far_away(), with_names(&["dns:A"]), Identity::Stranger),
        (far_away(), nobody.clone(), Identity::Stranger),
    ] {
        assert_eq!(roles.identify(peer, &credentials), identity, "{peer:?} {credentials:?}");
    }
    for peer in [unix, loopback()] {
        assert!(
            matches!(roles.identify(peer, &nobody), Identity::Known(role) if roles.user(role).is_none()),
            "{peer:?}"
        );
    }
}

#[test]
fn anonymous_comes_from_where_the_file_says() {
    for (from, unix, local, far) in [
        ("'unix'", true, false, false),
        ("'loopback'", false, true, false),
        ("'anywhere'", true, true, true),
        ("", false, false, false),
    ] {
        let text = format!("[anonymous]\nfrom = [{from}]\nlocks = ['']");
        let roles = roles(&text);
        let is_known = |peer| roles.identify(peer, &Credentials::default()) != Identity::Stranger;
        assert_eq!([Peer::Unix(1), loopback(), far_away()].map(is_known), [unix, local, far], "{from}");
        assert_eq!(Access::parse(&text).expect("it was read before").is_open_to_all(), far, "{from}");
    }
    assert!(Access::default().is_open_to_all() && !Access::parse("").expect("nobody may do anything").is_open_to_all());
    let seen_only = "[anonymous]\nfrom = ['anywhere']\nsee = ['']";
    assert!(!Access::parse(seen_only).expect("it is well-formed").is_open_to_all());
}

#[test]
fn a_secret_is_that_of_one_user_and_no_other() {
    let roles = roles(&format!("[users.a]\nsecret_sha256 = '{OF_ABC}'\n[users.b]\nsecret_sha256 = '{OF_NOTHING}'"));
    let log_in = |user: &str, secret: &str| roles.log_in(&Login { user: user.into(), secret: secret.into() });
    let [a, b] = ["a", "b"].map(|user| roles.of_user(user).expect("it is there"));
    for (user, secret, role) in [
        ("a", "abc", Ok(a)),
        ("b", "", Ok(b)),
        ("b", "abc", Err(LoginFailed)),
        ("a", "", Err(LoginFailed)),
        ("a", "ab", Err(LoginFailed)),
        ("A", "abc", Err(LoginFailed)),
        ("", "abc", Err(LoginFailed)),
        ("a", OF_ABC, Err(LoginFailed)),
    ] {
        assert_eq!(log_in(user, secret), role, "{user} {secret}");
    }
    assert_eq!(Roles::default().log_in(&Login { user: "a".into(), secret: "abc".into() }), Err(LoginFailed));
}

#[test]
fn who_is_new_takes_no_role_of_somebody_who_stays() {
    let nameless = "[anonymous]\nfrom = ['unix']\nlocks = ['n']\n";
    let mut roles = roles("[users.b]\nuid = 2\nadmin = true\n[users.c]\nuid = 3\n");
    let set = |roles: &mut Roles, text: &str| roles.set(Access::parse(text).expect("it is well-formed"), |_| 0);
    let [b, c] = ["b", "c"].map(|user| roles.of_user(user).expect("it is there"));
    // Nobody is connected.
    set(&mut roles, &format!("{nameless}[users.a]\nuid = 1\n[users.b]\nuid = 2\nadmin = true\n[users.c]\nuid = 3\n"));
    let a = roles.of_user("a").expect("it is new");
    assert_eq!((roles.of_user("b"), roles.of_user("c")), (Some(b), Some(c)));
    for (uid, role) in [(1, a), (2, b), (3, c)] {
        assert_eq!(roles.identify(Peer::Unix(1), &with_uid(uid)), Identity::Known(role));
        assert_eq!(roles.is_admin(role), uid == 2);
    }
    let anonymous = roles.anonymous(Peer::Unix(1)).expect("it is new");
    set(&mut roles, &format!("{nameless}[users.d]\nuid = 4\n"));
    assert_eq!(roles.anonymous(Peer::Unix(1)), Some(anonymous));
    assert_ne!(roles.of_user("d"), Some(anonymous));
}

#[test]
fn who_comes_back_while_its_locks_are_closed_has_its_role_again() {
    let (named, nameless) = ("[users.a]\nuid = 1\n", "[anonymous]\nfrom = ['unix']\nlocks = ['n']\n");
    let mut roles = roles(&format!("{named}{nameless}"));
    let set = |roles: &mut Roles, text: &str| roles.set(Access::parse(text).expect("it is well-formed"), |_| 1);
    let both = |roles: &Roles| (roles.of_user("a"), roles.anonymous(Peer::Unix(1)));
    let before = both(&roles);
    set(&mut roles, "[users.b]\nuid = 2\n");
    assert_eq!(both(&roles), (None, None));
    set(&mut roles, &format!("{nameless}[users.b]\nuid = 2\n[users.c]\nuid = 3\n{named}"));
    assert_eq!(both(&roles), before);
    assert!([roles.of_user("b"), roles.of_user("c")].iter().all(|role| *role != before.0 && *role != before.1));
}

#[test]
fn a_role_outlives_a_reload_and_a_user_that_is_gone_does_not_come_back_with_another_name() {
    let mut roles = roles("[users.a]\nuid = 1\n[users.b]\nuid = 2\n[anonymous]\nlocks = ['']");
    let set = |roles: &mut Roles, text: &str| roles.set(Access::parse(text).expect("it is well-formed"), |_| 0);
    let [a, b] = ["a", "b"].map(|user| roles.of_user(user).expect("it is there"));
    roles.on_connection(a);
    roles.on_session(b);
    let Identity::Known(anonymous) = roles.identify(loopback(), &Credentials::default()) else { panic!("anonymous") };
    roles.on_connection(anonymous);
    set(&mut roles, "[users.c]\nuid = 3\nlocks = ['c']\n[users.b]\nuid = 2\nadmin = true\n[anonymous]\nlocks = ['x']");
    assert_eq!((roles.of_user("b"), roles.is_admin(b), roles.of_user("a")), (Some(b), true, None));
    assert!(roles.is_over(a, loopback()) && roles.is_gone(a) && !roles.is_over(b, loopback()));
    assert_eq!(roles.identify(loopback(), &Credentials::default()), Identity::Known(anonymous));
    assert!(roles.is_restricted(anonymous) && !roles.is_over(anonymous, loopback()));
    let c = roles.of_user("c").expect("it is new");
    assert!(c != a && c != b, "somebody still has that role");
    roles.on_connection_end(a);
    set(&mut roles, "[users.b]\nuid = 2\n[users.d]\nuid = 4\n[anonymous]\nfrom = ['unix']\nlocks = ['x']");
    assert_eq!(roles.of_user("d"), Some(a), "nobody had it any more");
    assert!(roles.is_over(anonymous, loopback()) && !roles.is_over(anonymous, Peer::Unix(1)));
    // As little as that of a user whose locks are still closed.
    let closed = Access::parse("[users.e]\nuid = 5\n[users.f]\nuid = 6").expect("it is well-formed");
    let (group_of_c, _) = roles.closing_share(c, 100).expect("there are users");
    roles.set(closed, |group| usize::from(group == group_of_c));
    assert!(roles.of_user("e") != Some(c) && roles.of_user("f") != Some(c) && roles.is_gone(c));
    set(&mut roles, "");
    assert!(roles.is_gone(anonymous) && roles.is_gone(b) && roles.has_users());
}
