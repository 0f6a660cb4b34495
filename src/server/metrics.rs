//! The figures of the server as Prometheus reads them.

use super::{Server, Socket};
use crate::wire::digits::push_u64;

impl<S: Socket> Server<S> {
    /// Appends all metrics, in the text format of Prometheus.
    pub(super) fn write_metrics(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            concat!(
                "# HELP officer_build_info Always 1; the labels say which program it is.\n",
                "# TYPE officer_build_info gauge\n",
                "officer_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\"} 1\n",
                "# HELP officer_connections Connections of which it is known who they are.\n",
                "# TYPE officer_connections gauge\n",
                "officer_connections ",
            )
            .as_bytes(),
        );
        push_u64(out, self.connections.len() as u64);
        out.push(b'\n');
    }
}
