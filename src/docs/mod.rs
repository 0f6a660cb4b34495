//! The documents, which are Markdown files in `src/docs`: [`operating`] a server, the [`protocol`], [`http`], [`recipes`]
//! for common tasks, advice for whoever writes [`clients`], the [`architecture`], [`testing`], and the [`measurements`].

/// A document as a module, so that it is a page here. Its links to other documents lead to their pages: of two definitions
/// of a link the first counts, and the one in the file, to the other file, is the second.
macro_rules! document {
    ($name:ident, $file:literal) => {
        #[doc = "[operating]: crate::docs::operating"]
        #[doc = "[protocol]: crate::docs::protocol"]
        #[doc = "[http]: crate::docs::http"]
        #[doc = "[recipes]: crate::docs::recipes"]
        #[doc = "[clients]: crate::docs::clients"]
        #[doc = "[architecture]: crate::docs::architecture"]
        #[doc = "[testing]: crate::docs::testing"]
        #[doc = "[measurements]: crate::docs::measurements"]
        #[doc = "[operating-metrics]: crate::docs::operating#metrics"]
        #[doc = "[operating-tls]: crate::docs::operating#tls"]
        #[doc = "[operating-tokens]: crate::docs::operating#tokens-across-restarts"]
        #[doc = "[operating-users]: crate::docs::operating#users"]
        #[doc = "[protocol-users]: crate::docs::protocol#users"]
        #[doc = "[http-page]: crate::docs::http#the-page"]
        #[doc = ""]
        #[doc = include_str!($file)]
        pub mod $name {}
    };
}

document!(operating, "operating.md");
document!(protocol, "protocol.md");
document!(http, "http.md");
document!(recipes, "recipes.md");
document!(clients, "clients.md");
document!(architecture, "architecture.md");
document!(testing, "testing.md");
document!(measurements, "measurements.md");

/// What the README shows of the client compiles.
#[cfg(all(doctest, feature = "client"))]
#[doc = include_str!("../../README.md")]
pub mod readme {}
