//! Names of the variants of an enum, as the API and the tables have them.

/// Gives an enum `ALL`, `name`, `Display` and `FromStr` (upper and lower case alike). What is no name is refused with
/// a sentence that tells those that are.
macro_rules! names {
    ($type:ident, $what:literal, { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $type {
            /// Every one of them.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// The name used in the API.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL
                    .into_iter()
                    .find(|one| one.name().eq_ignore_ascii_case(text))
                    .ok_or_else(|| {
                        let names = [$($name),+].join(", ");
                        let shown: String = text.chars().take(32).collect();
                        format!(concat!("`{}` is no ", $what, "; these are: {}"), shown, names)
                    })
            }
        }
    };
}

pub(crate) use names;
