//! Every reply is one line that parses as the expected JSON, and the client understands it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use officer_fuzz::reply::Said;

fuzz_target!(|said: Said| said.check());
