#![doc = include_str!("../README.md")]

pub mod http;
pub mod keys;
pub mod payload;
pub mod replay;
pub mod resolve;
pub mod ring;
pub mod sender;
pub mod signing;
pub mod url;
pub mod verify;

pub use keys::{KeyError, PublicKey, SigningKey};
pub use payload::{Callback, CallbackPhase, CallbackStatus, PayloadError};
pub use replay::ReplayGuard;
pub use ring::KeyRing;
pub use sender::{Outcome, Sender, backoff};
pub use signing::{SignError, sign, sign_with};
pub use url::UrlPolicy;
pub use verify::{TrustedBroker, Verified, VerifyError, WINDOW, claimed_broker, verify};
