use slotkeeper_core::{
    api::{PodRequest, SlotRequest},
    contract::Rating,
    keys::Keyring,
    plan::{PlanSource, TitleSource, build},
};

use super::*;

const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

fn keys() -> Keyring {
    Keyring::parse(&format!("1:{}", "07".repeat(32))).unwrap()
}

fn plan() -> Vec<u8> {
    let slot = || SlotRequest { max_duration_ms: 10_000, ..SlotRequest::default() };
    let placed = |position, at_ms| TitleBreak { position, at_ms, slots: vec![slot()], pod: None };
    let pod = PodRequest { duration_ms: 30_000, max_ads: 3, ..PodRequest::default() };
    let title = |id: &str, duration_ms, breaks| TitleSource {
        title_id: id.into(),
        rating: Rating::TvPg,
        duration_ms,
        breaks,
        ..TitleSource::default()
    };
    let booked = vec![
        placed(BreakPosition::Preroll, 0),
        TitleBreak { slots: vec![], pod: Some(pod), ..placed(BreakPosition::Midroll, 5_250) },
        placed(BreakPosition::Midroll, 99_000),
        placed(BreakPosition::Postroll, 0),
    ];
    let source = PlanSource {
        version: 1,
        created_at: NOW,
        valid_from: NOW,
        valid_until: NOW.plus_ms(86_400_000),
        lease_ms: 3_600_000,
        titles: vec![
            title("film", Some(10_500), booked),
            title("clip", Some(8_000), vec![]),
            title("endless", None, vec![]),
            title("a/b", Some(8_000), vec![]),
        ],
        flights: vec![],
    };
    build(&source, &keys()).unwrap()
}

fn playlist_of(query: &str) -> Result<String, InvalidField> {
    let bytes = plan();
    let plan = Plan::open(&bytes).unwrap();
    playlist("https://media.example/hls", "https://edge.example", &plan, query, NOW)
}

#[test]
fn each_booked_break_is_an_interstitial_of_the_film() {
    let list = "https://edge.example/v1/asset-list?profile=p%20q&title=film&session=s&gpp_sid=7,8";
    let range = |number, at, cue| {
        format!(
            "#EXT-X-DATERANGE:ID=\"break-{number}\",CLASS=\"com.apple.hls.interstitial\",\
             START-DATE=\"2000-01-01T00:00:{at}Z\",CUE=\"{cue}\",\
             X-ASSET-LIST=\"{list}&break={number}&_HLS_interstitial_id=break-{number}\",\
             X-RESUME-OFFSET=0,X-RESTRICT=\"SKIP,JUMP\"\n"
        )
    };
    let expected = [
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:4\n#EXT-X-PLAYLIST-TYPE:VOD\n\
         #EXT-X-PROGRAM-DATE-TIME:2000-01-01T00:00:00.000Z\n",
        &range(1, "00.000", "PRE,ONCE"),
        &range(2, "05.250", "ONCE"),
        // The third stands behind the film's end.
        &range(4, "10.500", "POST,ONCE"),
        "#EXT-X-MAP:URI=\"https://media.example/hls/film/init.mp4\"\n\
         #EXTINF:4.000,\nhttps://media.example/hls/film/0.m4s\n\
         #EXTINF:4.000,\nhttps://media.example/hls/film/1.m4s\n\
         #EXTINF:2.500,\nhttps://media.example/hls/film/2.m4s\n\
         #EXT-X-ENDLIST\n",
    ];
    let query = "title=film&profile=p+q&session=s&gpp_sid=7,8&_HLS_primary_id=x&request_id=r&at=3&slots=30&cb=1";
    assert_eq!(playlist_of(query).unwrap(), expected.concat());
}

#[test]
fn a_title_without_booked_breaks_has_those_that_are_asked_for() {
    let text = playlist_of("title=clip&profile=p&at=0,6&slots=10,10").unwrap();
    let lists: Vec<_> = text.lines().filter_map(|line| line.split("asset-list?").nth(1)?.split('"').next()).collect();
    assert_eq!(
        lists,
        [
            "profile=p&title=clip&position=preroll&slots=10,10&_HLS_interstitial_id=break-1",
            "profile=p&title=clip&position=midroll&slots=10,10&_HLS_interstitial_id=break-2",
        ]
    );
    assert!(!playlist_of("title=clip&profile=p").unwrap().contains("DATERANGE"));
}

#[test]
fn what_cannot_be_played_is_refused_by_field() {
    let cases = [
        ("profile=p", "title", "missing"),
        ("title=none&profile=p", "title", "no such title"),
        ("title=endless&profile=p", "title", "not booked with a duration"),
        ("title=a/b&profile=p", "title", "letters, digits"),
        ("title=film", "profile", "missing"),
        ("title=film&profile=p%0a", "profile", "printable ASCII"),
        ("title=clip&profile=p&at=0", "slots", "Say slots"),
        ("title=clip&profile=p&at=x&slots=10", "at", "whole seconds"),
        ("title=clip&profile=p&at=4294968&slots=10", "at", "whole seconds"),
    ];
    for (query, field, message) in cases {
        let fault = playlist_of(query).unwrap_err();
        assert!(fault.field == field && fault.message.contains(message), "{query}: {fault}");
    }
}

#[test]
fn a_quote_or_a_new_line_cannot_leave_its_attribute() {
    let text = playlist_of("title=film&profile=p%22,X=%22&session=%22a%22").unwrap();
    assert!(text.contains("?profile=p%22,X%3D%22&title=film&session=%22a%22&break=1"), "{text}");
}
