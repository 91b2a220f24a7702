//! What keeps the server from starting is said in one clear line.

mod a_start_that_cannot_work_says_why;
mod certificates_are_made_and_checked;
mod suites_of_one_kind_are_enough;
mod the_demo_speaks_both_ways;
