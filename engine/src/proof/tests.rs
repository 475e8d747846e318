//! An export holds, and stops holding with any byte of it; a receipt is proven, and nothing else is.

use super::*;
use crate::canonical::sha256;
use crate::command::Envelope;
use crate::event::{Fact, LedgerEntry, Reason};
use crate::fund::{GENESIS, entry_hash};
use crate::money::Money;
use crate::number::parse;
use crate::reference::{Options, Reference};
use serde_json::{Value, json};

const FIRST: &str = "2025-10-10";
const NOON: u64 = 1_760_097_600_000;
const DAY: u64 = 86_400_000;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// Entries of two funds on three days, as the API shows them.
fn entries() -> Vec<Value> {
    let mut engine = Reference::new(Options::default());
    let credit = |asset: &str, amount: &str, time: u64| {
        format!(
            r#"{{"type":"fund_credit","asset":"{asset}","source":"seed_capital","amount":"{amount}","time":{time}}}"#
        )
    };
    let lines = [
        r#"{"type":"list_asset","asset":"USDT","scale":6}"#.to_owned(),
        r#"{"type":"list_asset","asset":"BTC","scale":8}"#.to_owned(),
        credit("USDT", "100.5", NOON),
        credit("BTC", "0.25", NOON),
        credit("USDT", "7", NOON + 1),
        credit("USDT", "1", NOON + DAY),
        credit("BTC", "2", NOON + 2 * DAY),
    ];
    let mut found = Vec::new();
    for line in lines {
        let envelope = Envelope::read(&line).unwrap();
        let events = engine.submit(&envelope.command, envelope.time.unwrap_or(NOON)).unwrap().events;
        let entries = events.iter().filter(|event| matches!(event.fact, Fact::FundEntry(_)));
        found.extend(entries.map(|event| serde_json::to_value(event).unwrap()));
    }
    assert_eq!(found.len(), 5);
    found
}

fn receipts(day: u64, count: u64) -> Vec<Value> {
    let one = |place: u64| json!({ "id": format!("{day}-{place}"), "account": "älice", "loss": "1.5", "place": place });
    (0..count).map(one).collect()
}

fn tree(receipts: &[Value]) -> DayTree {
    DayTree::new(receipts.iter().map(|receipt| receipt_digest(receipt).unwrap()))
}

fn heads(entries: &[Value]) -> Vec<LedgerHead> {
    let mut heads: Vec<LedgerHead> = Vec::new();
    for entry in entries {
        let text = |name: &str| entry[name].as_str().unwrap().to_owned();
        heads.retain(|head| head.asset != text("asset").as_str());
        let (asset, last_hash) = (text("asset").into(), text("hash"));
        heads.push(LedgerHead { asset, last_entry: entry["entry"].as_u64().unwrap(), last_hash });
    }
    heads
}

fn header() -> Header {
    let assets = vec![Opening::empty("BTC"), Opening::empty("USDT")];
    Header { format: FORMAT, from: FIRST.into(), to: "2025-10-12".into(), assets, previous_root: Hash::default() }
}

/// Two closed days and an open one: the lines.
fn export(key: &SigningKey) -> Vec<String> {
    let entries = entries();
    let days = [receipts(1, 3), receipts(2, 1)];
    let first = tree(&days[0]).day_root(FIRST, heads(&entries[..3]), None);
    let second = tree(&days[1]).day_root("2025-10-11", heads(&entries[..4]), Some(&first));
    let (mut writer, line) = Writer::new(&header()).unwrap();
    let mut lines = vec![line];
    let roots = [SignedRoot::new(first, key), SignedRoot::new(second, key)];
    let ledger = [&entries[..3], &entries[3..4]];
    for (day, root) in roots.iter().enumerate() {
        lines.extend(ledger[day].iter().map(|entry| writer.record(Record::Entry(entry)).unwrap()));
        lines.extend(days[day].iter().map(|receipt| writer.record(Record::Receipt(receipt)).unwrap()));
        lines.push(writer.record(Record::Day(root)).unwrap());
    }
    lines.push(writer.record(Record::Entry(&entries[4])).unwrap());
    lines.push(writer.end(key).unwrap());
    lines
}

fn check(lines: &[String], key: Option<&PublicKey>) -> Result<Summary, Fault> {
    verify_export(lines.concat().as_bytes(), key)
}

#[test]
fn an_export_holds_and_says_what_it_holds() {
    let (lines, public) = (export(&key(7)), key(7).verifying_key());
    for asked in [None, Some(&public)] {
        let summary = check(&lines, asked).unwrap();
        assert_eq!((summary.entries, summary.receipts, summary.days, summary.open), (5, 4, 2, 1));
        assert_eq!(summary.key, crate::fund::hex(public.as_bytes()));
        let heads: Vec<_> = summary.ledger.iter().map(|head| (head.asset.as_str(), head.last_entry)).collect();
        assert_eq!(heads, [("BTC", 2), ("USDT", 3)]);
    }
    let other = check(&lines, Some(&key(8).verifying_key())).unwrap_err();
    assert_eq!((other.line, other.kind, other.about), (8, FaultKind::WrongKey, Some(format!("day {FIRST}"))));
}

#[test]
fn any_byte_changed_added_or_lost_is_found() {
    let (whole, public) = (export(&key(7)).concat().into_bytes(), key(7).verifying_key());
    let fails = |bytes: &[u8], place: usize| {
        let asked = place.is_multiple_of(2).then_some(&public);
        let found = verify_export(bytes, asked);
        assert!(found.is_err(), "byte {place} of {}", String::from_utf8_lossy(bytes));
    };
    for place in 0..whole.len() {
        for other in [whole[place] ^ 1, whole[place] ^ 0x20, b'\n'] {
            if other != whole[place] {
                let mut changed = whole.clone();
                changed[place] = other;
                fails(&changed, place);
            }
        }
        let mut shorter = whole.clone();
        shorter.remove(place);
        fails(&shorter, place);
        let mut longer = whole.clone();
        longer.insert(place, b' ');
        fails(&longer, place);
        fails(&whole[..place], place);
    }
    let mut longer = whole.clone();
    longer.push(b'\n');
    assert_eq!(verify_export(longer.as_slice(), None).unwrap_err().kind, FaultKind::Trailing);
}

#[test]
fn the_first_line_that_does_not_hold_is_named() {
    let lines = export(&key(7));
    let without = |place: usize| {
        let mut rest = lines.clone();
        rest.remove(place);
        check(&rest, None).unwrap_err()
    };
    let swapped = |place: usize| {
        let mut rest = lines.clone();
        rest.swap(place, place + 1);
        check(&rest, None).unwrap_err()
    };
    // 1 header, 2 to 4 entries, 5 to 7 receipts, 8 a root, 9 an entry, 10 a receipt, 11 a root, 12 an entry, 13 the end.
    assert_eq!(without(0).line, 1);
    assert_eq!(without(1), Fault { line: 3, about: Some("entry 2 of USDT".into()), kind: FaultKind::MissingEntry(1) });
    assert_eq!(without(5).to_string(), "line 7, day 2025-10-10: the day has 2 receipts here");
    assert_eq!((without(7).line, without(7).kind), (10, FaultKind::WrongDay));
    assert_eq!((without(10).line, without(10).kind), (12, FaultKind::WrongBytes));
    assert_eq!((without(11).line, without(11).kind), (12, FaultKind::WrongBytes));
    assert_eq!((without(12).line, without(12).kind), (13, FaultKind::Truncated));
    assert_eq!((swapped(4).line, swapped(4).kind), (6, FaultKind::ReceiptOrder));
    assert_eq!((swapped(6).line, swapped(6).kind), (7, FaultKind::MissingReceipt(2)));
    assert_eq!((swapped(7).line, swapped(7).kind), (9, FaultKind::WrongDay));
}

/// An export of one entry of USDT that is written as it is asked for, and signed.
fn forged(change: impl Fn(&mut LedgerEntry), next: bool) -> Fault {
    let money = |text: &str| Money::new(parse(text).unwrap());
    let mut previous_hash = GENESIS.to_owned();
    let header = Header { assets: vec![Opening::empty("USDT")], ..header() };
    let (mut writer, line) = Writer::new(&header).unwrap();
    let mut lines = vec![line];
    for number in 1..=if next { 2 } else { 1 } {
        let mut entry = LedgerEntry {
            entry: number,
            asset: "USDT".into(),
            pool: "shared".into(),
            reason: Reason::SeedCapital,
            amount: money("5"),
            balance: money(if number == 1 { "5" } else { "10" }),
            market: None,
            liquidation: None,
            account: None,
            previous_hash: previous_hash.clone(),
            hash: String::new(),
        };
        if number == 2 || !next {
            change(&mut entry);
        }
        if entry.hash.is_empty() {
            entry.hash = entry_hash(&entry, 9, NOON);
        }
        previous_hash.clone_from(&entry.hash);
        let mut line = serde_json::to_value(&entry).unwrap();
        for (name, value) in
            [("type", json!("fund_entry")), ("seq", json!(1)), ("time", json!(NOON)), ("cause", json!(9))]
        {
            line[name] = value;
        }
        lines.push(writer.record(Record::Entry(&line)).unwrap());
    }
    lines.push(writer.end(&key(7)).unwrap());
    check(&lines, None).unwrap_err()
}

#[test]
fn a_ledger_that_the_venue_itself_has_signed_must_hold_too() {
    let money = |text: &str| Money::new(parse(text).unwrap());
    let kind = |change: &dyn Fn(&mut LedgerEntry)| forged(change, true).kind;
    assert_eq!(kind(&|entry| entry.balance = money("11")), FaultKind::WrongBalance("10".into()));
    assert_eq!(kind(&|entry| entry.previous_hash = GENESIS.into()), FaultKind::BrokenChain);
    assert_eq!(kind(&|entry| entry.hash = GENESIS.into()), FaultKind::WrongHash);
    assert_eq!(kind(&|entry| entry.entry = 3), FaultKind::MissingEntry(2));
    assert_eq!(kind(&|entry| entry.asset = "BTC".into()), FaultKind::UnknownAsset);
    let pay = |entry: &mut LedgerEntry| (entry.amount, entry.balance) = (money("-1"), money("4"));
    assert_eq!(kind(&pay), FaultKind::WrongReason, "cash leaves for a shortfall only");
    assert_eq!(kind(&|entry| entry.reason = Reason::Shortfall), FaultKind::WrongReason);
    let overdrawn = |entry: &mut LedgerEntry| {
        (entry.reason, entry.amount, entry.balance) = (Reason::Shortfall, money("-6"), money("-1"));
    };
    assert_eq!(kind(&overdrawn), FaultKind::WrongReason);
    let other_pool = |entry: &mut LedgerEntry| entry.pool = "BTC-USDT".into();
    assert_eq!(kind(&other_pool), FaultKind::WrongBalance("5".into()), "each pool has its own balance");
    assert_eq!(forged(|entry| entry.balance = money("6"), false).about.as_deref(), Some("entry 1 of USDT"));
}

#[test]
fn a_part_of_a_ledger_is_checked_from_where_it_begins() {
    let entries = entries();
    let text = |place: usize, name: &str| entries[place][name].as_str().unwrap().to_owned();
    let money = |text: &str| Money::new(parse(text).unwrap());
    let opening = |balance: &str| Opening {
        asset: "USDT".into(),
        last_entry: 2,
        last_hash: text(2, "hash"),
        pools: [("shared".into(), money(balance))].into(),
    };
    let first = tree(&receipts(1, 3)).day_root(FIRST, heads(&entries[..3]), None);
    let write = |balance: &str| {
        let assets = vec![Opening::empty("BTC"), opening(balance)];
        let header = Header { from: "2025-10-11".into(), assets, previous_root: first.hash(), ..header() };
        let (mut writer, line) = Writer::new(&header).unwrap();
        let root = tree(&[]).day_root("2025-10-11", heads(&entries[3..4]), Some(&first));
        let mut lines = vec![line, writer.record(Record::Entry(&entries[3])).unwrap()];
        lines.push(writer.record(Record::Day(&SignedRoot::new(root, &key(7)))).unwrap());
        lines.push(writer.end(&key(7)).unwrap());
        check(&lines, Some(&key(7).verifying_key()))
    };
    assert_eq!(write("107.5").unwrap().entries, 1);
    assert_eq!(write("107").unwrap_err().kind, FaultKind::WrongBalance("108".into()));
}

#[test]
fn roots_that_leave_something_out_are_found_though_signed() {
    let entries = entries();
    let day = receipts(1, 3);
    let write = |root: DayRoot, signer: &SigningKey| {
        let (mut writer, line) = Writer::new(&header()).unwrap();
        let mut lines = vec![line];
        lines.extend(entries[..3].iter().map(|entry| writer.record(Record::Entry(entry)).unwrap()));
        lines.extend(day.iter().map(|receipt| writer.record(Record::Receipt(receipt)).unwrap()));
        lines.push(writer.record(Record::Day(&SignedRoot::new(root, signer))).unwrap());
        lines.push(writer.end(&key(7)).unwrap());
        check(&lines, None).map(drop).map_err(|fault| fault.kind)
    };
    let good = tree(&day).day_root(FIRST, heads(&entries[..3]), None);
    let with = |change: &dyn Fn(&mut DayRoot)| {
        let mut root = good.clone();
        change(&mut root);
        write(root, &key(7))
    };
    assert_eq!(write(good.clone(), &key(7)), Ok(()));
    assert_eq!(write(good.clone(), &key(8)), Err(FaultKind::WrongKey), "the end is signed by another");
    assert_eq!(with(&|root| root.leaves = 2), Err(FaultKind::MissingReceipt(3)));
    let other = tree(&receipts(1, 2)).root();
    assert_eq!(with(&|root| root.root = other), Err(FaultKind::WrongRoot(good.root)));
    assert_eq!(with(&|root| drop(root.ledger.pop())), Err(FaultKind::WrongLedger));
    assert_eq!(with(&|root| root.previous_root = other), Err(FaultKind::WrongPrevious));
    for day in ["2025-10-09", "2025-10-11", "2025-10-13", "2025-1-1", ""] {
        assert_eq!(with(&|root| root.day = day.into()), Err(FaultKind::WrongDay), "{day}");
    }
}

#[test]
fn a_receipt_is_proven_and_no_other_passes_for_it() {
    let (signer, public) = (key(7), key(7).verifying_key());
    for count in 1..10 {
        let receipts = receipts(1, count);
        let tree = tree(&receipts);
        let root = tree.day_root(FIRST, Vec::new(), None);
        let signature = sign(&root, &signer);
        for (place, receipt) in receipts.iter().enumerate() {
            let proof = tree.prove(receipt["id"].as_str().unwrap()).unwrap();
            let holds =
                |receipt: &Value, proof: &Inclusion| verify_inclusion(receipt, proof, &root, &signature, &public);
            assert_eq!(holds(receipt, &proof), Ok(()), "{place} of {count}");
            let mut other = receipt.clone();
            other["loss"] = "1.4".into();
            assert_eq!(holds(&other, &proof), Err(NotIncluded::Path));
            let moved = Inclusion { index: proof.index + 1, ..proof.clone() };
            assert!(holds(receipt, &moved).is_err(), "{place} of {count}");
            let mut longer = proof.clone();
            longer.path.push(Hash::default());
            assert_eq!(holds(receipt, &longer), Err(NotIncluded::Path));
            let written: Inclusion = serde_json::from_str(&serde_json::to_string(&proof).unwrap()).unwrap();
            assert_eq!(written, proof);
            let stranger = key(8).verifying_key();
            let found = verify_inclusion(receipt, &proof, &root, &signature, &stranger);
            assert_eq!(found, Err(NotIncluded::Signature));
            let fewer = DayRoot { leaves: root.leaves + 1, ..root.clone() };
            assert_eq!(verify_inclusion(receipt, &proof, &fewer, &signature, &public), Err(NotIncluded::Signature));
        }
        assert_eq!(tree.prove("1-99"), None);
    }
    let reversed: Vec<Value> = receipts(1, 5).into_iter().rev().collect();
    assert_eq!(tree(&reversed).root(), tree(&receipts(1, 5)).root(), "the order is that of the ids");
}

#[test]
fn the_root_is_that_of_rfc_6962() {
    let leaf = |receipt: &Value| {
        let digest = sha256(crate::canonical::canonical(receipt).unwrap().as_bytes());
        sha256(&[&[0][..], &digest].concat())
    };
    let node = |left: [u8; 32], right: [u8; 32]| sha256(&[&[1][..], &left, &right].concat());
    let all = receipts(1, 3);
    let [a, b, c] = [leaf(&all[0]), leaf(&all[1]), leaf(&all[2])];
    assert_eq!(tree(&all).root(), Hash(node(node(a, b), c)));
    assert_eq!(tree(&all).prove("1-2").unwrap(), Inclusion { index: 2, path: vec![Hash(node(a, b))] });
    assert_eq!(tree(&[]).root(), Hash(sha256(b"")));
}

#[test]
fn what_is_signed_stays_as_it_was_released() {
    let head = LedgerHead { asset: "USDT".into(), last_entry: 1, last_hash: GENESIS.to_owned() };
    let root = DayTree::new([]).day_root(FIRST, vec![head], None);
    let signed = SignedRoot::new(root, &key(7));
    let shown = format!("{} {}", signed.root.hash(), signed.signature.get(..32).unwrap());
    assert_eq!(
        shown,
        "379e538d4872492190128204f7a714b6ea1aec5e5ae2c7665e96ef626ba55e63 6baba526362efcaca08d1140b112a913"
    );
}

#[test]
fn days_are_those_of_the_calendar() {
    let days = [
        (0, "1970-01-01"),
        (68_169_600_000, "1972-02-29"),
        (946_598_400_000, "1999-12-31"),
        (951_782_400_000, "2000-02-29"),
        (951_868_800_000, "2000-03-01"),
        (1_735_603_200_000, "2024-12-31"),
        (1_735_689_600_000, "2025-01-01"),
        (1_760_054_400_000, "2025-10-10"),
        (4_107_456_000_000, "2100-02-28"),
        (4_107_542_400_000, "2100-03-01"),
        (13_574_563_200_000, "2400-02-29"),
        (253_402_214_400_000, "9999-12-31"),
    ];
    for (time, day) in days {
        assert_eq!(day_of(time), day);
        assert_eq!(day_of(time + DAY - 1), day);
        assert!(time == 0 || day_of(time - 1) != day);
    }
}

#[test]
fn keys_are_read_from_hex_and_from_nothing_else() {
    let text = crate::fund::hex(&[7; 32]);
    assert_eq!(read_signing_key(&text), Some(key(7)));
    let public = crate::fund::hex(key(7).verifying_key().as_bytes());
    assert_eq!(read_public_key(&public), Some(key(7).verifying_key()));
    for bad in ["", "00", &public[1..], &public.to_uppercase()] {
        assert_eq!(read_public_key(bad), None, "{bad}");
    }
}
