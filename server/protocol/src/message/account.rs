//! REGISTER and CHANGE_PASSWORD.

use crate::conversation::UserId;
use crate::secret::Secret;

ask! {
    /// Makes an account; no login is needed.
    Register {
        name: String = new_user_name("name"),
        password: Secret = password("password"),
    }
}

answer! {
    /// REGISTER_ACK.
    Registered { id: UserId }
}

ask! {
    /// Ends all of the user's tokens but a new one.
    ChangePassword {
        old: Secret = password("old"),
        new: Secret = password("new"),
    }
}

answer! {
    /// CHANGE_PASSWORD_ACK.
    NewToken { token: String }
}
