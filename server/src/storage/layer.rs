//! Storages in front of another: in tests, those whose database is out of reach, late, or out of date.
//!
//! [`domain!`] declares each trait of the storage together with a second one for layers, in which every operation goes
//! on to the storage below. So a layer consists of what it does otherwise, and a new operation needs nothing there.

use super::error::Result;
use async_trait::async_trait;

/// A storage that passes on to another what it does not do itself. It implements the `…Layer` of each domain.
#[async_trait]
pub trait Layer: Send + Sync + 'static {
    type Below: ?Sized + Send + Sync;

    /// The storage below, for the operation of that name; an error becomes that of the operation.
    async fn reach(&self, operation: &'static str) -> Result<&Self::Below>;
}

/// Declares the trait of a domain, and the one by which a [`Layer`] implements it.
macro_rules! domain {
    (
        $(#[$about:meta])*
        pub trait $domain:ident / $layer:ident:
        $(
            $(#[$doc:meta])*
            async fn $name:ident(&self $(, $argument:ident: $type:ty)* $(,)?) -> $value:ty;
        )*
    ) => {
        $(#[$about])*
        #[async_trait]
        pub trait $domain: Send + Sync + 'static {
            $(
                $(#[$doc])*
                async fn $name(&self $(, $argument: $type)*) -> $value;
            )*
        }

        #[doc = concat!("[`", stringify!($domain), "`] as a [`Layer`] has it: the storage below does the work.")]
        #[async_trait]
        pub trait $layer: Layer<Below: $domain> {
            $(
                async fn $name(&self $(, $argument: $type)*) -> $value {
                    self.reach(stringify!($name)).await?.$name($($argument),*).await
                }
            )*
        }

        #[async_trait]
        impl<L: $layer> $domain for L {
            $(
                async fn $name(&self $(, $argument: $type)*) -> $value {
                    $layer::$name(self $(, $argument)*).await
                }
            )*
        }
    };
}

pub(super) use domain;
