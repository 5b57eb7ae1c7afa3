//! A secret of Secrets Manager: AWS makes its first value, and no template holds it.

use super::encryption::Encryption;
use super::grants::Grantee;
use super::stack::Stack;
use crate::cfn::policy::Statement;
use crate::cfn::{LogicalId, Val, secretsmanager};
use crate::rules;

/// A secret of this stack.
#[derive(Clone, Debug)]
pub struct Secret {
    arn: Val<String>,
    key: Encryption,
}

/// The settings in which secrets differ.
#[derive(Clone, Debug)]
pub struct SecretSettings<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its purpose, for people who find it in the console.
    pub description: &'a str,
    /// The member of the value, a JSON object, that holds the generated text.
    pub member: &'static str,
    /// The length of the generated text, of ASCII letters and digits.
    pub characters: u32,
    /// Why it may be deleted with its stack.
    pub not_retained: &'static str,
    /// The key that encrypts it; Secrets Manager's own key if it is AWS's.
    pub encryption: Encryption,
}

/// Every ASCII character that is neither a letter nor a digit nor a blank.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

impl Secret {
    /// Declares a secret that is deleted with its stack. A change of `member` or `characters`
    /// replaces the value of every deployed secret.
    pub fn new(stack: &mut Stack, id: impl Into<LogicalId>, settings: &SecretSettings<'_>) -> Self {
        let generated = secretsmanager::SecretGenerateSecretString::new()
            .secret_string_template("{}")
            .generate_string_key(settings.member)
            .password_length(i64::from(settings.characters))
            .exclude_punctuation(true)
            .exclude_characters(PUNCTUATION);
        let mut secret = secretsmanager::Secret::new()
            .name(settings.name)
            .description(settings.description)
            .generate_secret_string(generated);
        if let Encryption::Key(key) = &settings.encryption {
            secret = secret.kms_key_id(key.clone());
        }
        let handle = stack.template().add(id, secret);
        stack
            .template()
            .explain(&handle, rules::NOT_RETAINED, settings.not_retained);
        Self {
            arn: handle.id(),
            key: settings.encryption.clone(),
        }
    }

    /// Allows a grantee to read its value.
    pub fn grant_read(&self, to: &impl Grantee) {
        to.grants().allow(Statement::allow_each(
            ["secretsmanager:GetSecretValue"],
            [self.arn.clone()],
        ));
        self.key.allow(to, ["kms:Decrypt"]);
    }
}
