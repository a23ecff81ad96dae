//! Tests of the core as its shell sees it: inputs in, outputs out, and what an operator reads.
//!
//! ```text
//! world      three sites with agents and real cores, driven second by second, without faults of its own
//! script     text scenarios and what the operator reads, compared byte for byte
//! asking     what an operator asks in a script
//! anew       a store that was made anew
//! automatic  every rule of automatic mode with a case and a near miss
//! readiness  what is called protected
//! regressed  a store that shows less than was seen of it
//! findings   every finding with a golden case and a near miss
//! glass      plans for the loss of the store, and what becomes of one that was used
//! synchrony  whether commits wait for the standby, with every near miss
//! tables     the tables are whole: phases, moves, findings, inputs
//! rows       every row of the table of moves is used
//! run        runs under changes of the leader, conflicts of the store, late and doubled words
//! model      random histories against a small reference model
//! ```

#[cfg(test)]
mod anew;
#[cfg(test)]
mod asking;
#[cfg(test)]
mod automatic;
#[cfg(test)]
mod fencing;
#[cfg(test)]
mod findings;
#[cfg(test)]
mod glass;
#[cfg(test)]
mod model;
#[cfg(test)]
mod readiness;
#[cfg(test)]
mod regressed;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod run;
#[cfg(test)]
mod screen;
#[cfg(test)]
mod script;
#[cfg(test)]
mod synchrony;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod world;
