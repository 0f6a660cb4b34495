//! Functions of the program that a request carries with it.

use std::fmt;
use std::sync::Arc;

/// A function that the client's own thread calls. Two are equal if they are the same.
pub(crate) struct Callback<T>(Arc<dyn Fn(&T) + Send + Sync>);

impl<T> Callback<T> {
    pub(super) fn new(function: impl Fn(&T) + Send + Sync + 'static) -> Self {
        Callback(Arc::new(function))
    }

    pub(super) fn call(&self, with: &T) {
        (self.0)(with);
    }
}

impl<T> Clone for Callback<T> {
    fn clone(&self) -> Self {
        Callback(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Callback<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").finish_non_exhaustive()
    }
}

impl<T> PartialEq for Callback<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Eq for Callback<T> {}
