//! The client for asyncio that `src/docs/clients.md` shows, against the server.

use std::process::Command;

use super::connections_on;
use super::support::patience::eventually;
use super::support::program::{Program, run};
use super::support::server::Server;

use crate::support::skip::skipped;

const USE: &str = r#"
import sys

async def main():
    ann, bob = [await Officer.connect(port=int(sys.argv[1])) for _ in range(2)]
    count = 0

    async def work(officer):
        nonlocal count
        for _ in range(50):
            async with officer.lock("count", timeout=60):
                seen = count
                await asyncio.sleep(0)
                count = seen + 1

    await asyncio.gather(*[work(officer) for officer in (ann, bob) for _ in range(5)])
    print("counted", count)

    async with ann.lock("boss"):
        for officer in (ann, bob):
            try:
                async with officer.lock("boss", timeout=0.05):
                    print("two hold it")
            except TimeoutError:
                print("timed out")
        waiting = asyncio.create_task(work_with(bob, "boss"))
        print("waiting", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        waiting.cancel()
    # The task that was cancelled has left nothing behind.
    async with ann.lock("boss", timeout=60):
        print("again")

    long = ["%04d" % number + "x" * 100 for number in range(2000)]
    for name in long:
        assert (await ann.call(command="lock", name=name))["result"] == "acquired"
    locks = await bob.call(command="locks")
    print("listed", len(locks["value"]))
    await bob.call(command="kick", connection=locks["value"][long[0]][0])
    try:
        await ann.call(command="ping")
    except ConnectionError as error:
        print(error)
    bob.close()

async def work_with(officer, name):
    async with officer.lock(name):
        print("it was cancelled")

asyncio.run(main())
"#;

#[test]
fn the_client_for_asyncio_does_what_the_guide_says() {
    let python = |code: &str| {
        let mut command = Command::new("python3");
        command.args(["-c", code]);
        command
    };
    let is_there = python("import asyncio; asyncio.timeout").output().is_ok_and(|output| output.status.success());
    if !is_there {
        skipped("it takes Python 3.11");
        return;
    }
    let guide = include_str!("../../src/docs/clients.md");
    let code = &guide[guide.find("import asyncio").expect("the example")..];
    let code = &code[..code.find("```").expect("its end")];

    let server = Server::tcp(&[]);
    let mut program = Program::start(python(&format!("{code}{USE}")).arg(server.port()));
    for line in ["counted 500", "timed out", "timed out", "waiting"] {
        assert_eq!(program.line(), line);
    }
    let observer = server.client();
    eventually("the other waits", || connections_on(&observer, "boss").len() == 2);
    program.input("\n");
    let end = program.end();
    assert_eq!(end.stderr, [""; 0]);
    assert_eq!(end.stdout, ["again", "listed 2000", "the connection is lost, and all locks with it"]);
}

#[test]
fn a_script_for_netcat_ends_with_its_input() {
    let is_there = Command::new("nc").arg("-h").output().is_ok_and(|output| {
        let help = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&help).contains("OpenBSD")
    });
    if !is_there {
        skipped("it takes netcat-openbsd");
        return;
    }
    let server = Server::tcp(&["-m", "0"]);
    let script = r#"echo '{"command":"lock","name":"boss"}' | nc -N 127.0.0.1 "$0""#;
    let lines = run(Command::new("sh").args(["-c", script, &server.port()])).expect_success();
    assert_eq!(lines, [r#"{"name":"boss","result":"acquired"}"#]);
}
