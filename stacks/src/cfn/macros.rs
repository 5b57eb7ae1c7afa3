//! Macros for repetitive generated code.

/// A property type: lowered as the properties it wraps.
macro_rules! property_type {
    ($name:ident) => {
        impl crate::cfn::value::Lower for $name {
            fn lower(
                self,
                check: &Check,
                problems: &mut Vec<crate::cfn::check::Problem>,
            ) -> serde_json::Value {
                self.0.lower(check, problems)
            }
        }
    };
}

/// An enum of the valid values.
macro_rules! literals {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$of:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$of])* $variant,)*
        }

        impl crate::cfn::Literal for $name {
            fn text(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

/// A marker for a property that accepts several kinds of references.
macro_rules! references {
    ($(#[$doc:meta])* pub enum $name:ident { $($target:ty),* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}

        impl crate::cfn::Reference for $name {}

        $(impl From<Val<$target>> for Val<$name> {
            fn from(target: Val<$target>) -> Self {
                target.cast()
            }
        })*
    };
}

pub(crate) use {literals, property_type, references};
