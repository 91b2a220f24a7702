//! What is taken as a credential, and what is refused with which words.
