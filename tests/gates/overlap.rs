//! Recipients who had the push earlier on the day, under another occurrence, on every road.

use pushctl::run::gates::Road;

use super::{due, generate, overridden, refused, start};
use crate::pipeline::office::Office;
use crate::support::fcm::script::Script;
use crate::support::store::Place;

/// Makes the automation due with the usual limit.
fn due_for(office: &Office, road: Road) {
    let minutes = match road {
        Road::Pipeline => -7,
        Road::Resume => -5,
        Road::Tick => -3,
        _ => -9,
    };
    office.file(&due(minutes, "# the usual overlap"));
}

#[test]
fn recipients_who_had_the_push_today_do_not_get_it_again_on_any_road() {
    for place in [Place::sqlite(), Place::postgres()] {
        let mut office = Office::at(place, 10, Script::default());
        office.set("PUSHCTL_CADENCE", "off");
        due_for(&office, Road::SendAutomation);
        generate(&office);
        let first = start(&office, Road::SendAutomation, &[]);
        assert_eq!(first.status, 0, "{first}");
        let words = "5 of the 5 recipients had this push before, under another occurrence";
        for road in [Road::Pipeline, Road::Resume, Road::Tick] {
            due_for(&office, road);
            let told = refused(&office, road, 12, words);
            assert!(told.stderr.contains("--override overlap"), "{told}");
        }
        assert_eq!(office.reached().len(), 5);
        overridden(&office, Road::Resume, "overlap");
        // A recipient of the first push has it twice now, as was asked for, and one of the second once.
        assert_eq!(office.stand_in.attempts("token-fan-10").len(), 2);
        assert_eq!(office.stand_in.attempts("token-fan-9").len(), 1);
    }
}
