//! The linear scan decides as the engine does, at the edge as well.

use super::*;
use crate::compare::book::Leverage;
use crate::compare::guarded::Guarded;
use crate::compare::naive::{self, Naive};
use crate::compare::paths::{Kind, path};

fn agree<const K: usize>(scene: &Scene, book: &Book, marks: &[i64]) -> usize {
    let mut guarded = Guarded::new(scene, book).unwrap();
    let reported = guarded.tick(&scene.marks(marks)).unwrap().reports;
    let expected = guarded.full().unwrap();
    assert_eq!(crate::compare::guarded::numbers(&reported), expected);
    assert_eq!(Linear::<K>::new(scene, book).unwrap().scan(marks).unwrap(), expected);
    assert_eq!(naive::numbers(&Naive::new(scene, book).scan(&scene.decimals(marks))), expected);
    expected.len()
}

#[test]
fn random_books_are_judged_alike() {
    let scene = Scene::new().unwrap();
    let path = path(&scene, Kind::CrashAll, 300, 5);
    for leverage in Leverage::ALL {
        let (one, four, eight) = (
            Book::new(&scene, 2_000, 1, leverage, 1),
            Book::new(&scene, 2_000, 4, leverage, 2),
            Book::new(&scene, 1_000, 8, leverage, 3),
        );
        assert_eq!(agree::<4>(&scene, &four, &scene.first()), 0, "all are sound to begin with");
        for marks in path.iter().skip(49).step_by(125) {
            agree::<1>(&scene, &one, marks);
            agree::<8>(&scene, &eight, marks);
            assert!(agree::<4>(&scene, &four, marks) > 0 || leverage == Leverage::Low);
        }
    }
}

/// Moves each wallet so that X is so many hundredths of a unit of the asset.
fn at_the_edge(scene: &Scene, book: &mut Book, marks: &[i64], offset: impl Fn(usize) -> i64) {
    let mut linear = Linear::<4>::new(scene, book).unwrap();
    linear.scan(marks).unwrap();
    for account in 0..book.len() {
        let sum = sum_of(&linear.rows, linear.base[account], &linear.packed[account]).0;
        book.wallets[account] -= i64::try_from(sum.div_euclid(linear.unit)).unwrap() - offset(account);
    }
}

#[test]
fn accounts_exactly_at_the_edge_are_judged_alike() {
    let scene = Scene::new().unwrap();
    let marks = path(&scene, Kind::Volatile, 40, 6).pop().unwrap();
    let mut book = Book::new(&scene, 8_000, 4, Leverage::Mixed, 4);
    // Large ones, so that all tiers are met.
    for holding in book.holdings.iter_mut().step_by(3) {
        (holding.units, holding.cost) = (holding.units * 40, holding.cost * 40);
    }
    at_the_edge(&scene, &mut book, &marks, |account| i64::try_from(account % 8).unwrap() - 2);
    let breached = agree::<4>(&scene, &book, &marks);
    assert!(breached > 2_000 && breached < 7_000, "{breached} of 8,000");
    // And one unit of the asset to and fro changes the answer of somebody.
    book.wallets.iter_mut().for_each(|wallet| *wallet += 1);
    assert!(agree::<4>(&scene, &book, &marks) < breached);
}

#[test]
fn closed_accounts_are_not_found() {
    let scene = Scene::new().unwrap();
    let marks = path(&scene, Kind::CrashAll, 300, 7).pop().unwrap();
    let book = Book::new(&scene, 1_000, 4, Leverage::High, 8);
    let (mut linear, mut naive, mut guarded) =
        (Linear::<4>::new(&scene, &book).unwrap(), Naive::new(&scene, &book), Guarded::new(&scene, &book).unwrap());
    let decimals = scene.marks(&marks);
    let reports = guarded.tick(&decimals).unwrap().reports;
    let found = linear.scan(&marks).unwrap();
    assert!(!found.is_empty());
    linear.close(&found);
    naive.close(&found);
    guarded.close(&reports, &decimals).unwrap();
    assert_eq!(linear.scan(&marks).unwrap(), Vec::<u32>::new());
    assert!(naive.scan(&scene.decimals(&marks)).is_empty() && guarded.full().unwrap().is_empty());
}

#[test]
fn a_remembered_tier_is_put_right_when_the_price_leaves_it() {
    let scene = Scene::new().unwrap();
    let mut book = Book::new(&scene, 3_000, 4, Leverage::Mixed, 9);
    for holding in book.holdings.iter_mut().step_by(2) {
        (holding.units, holding.cost) = (holding.units * 30, holding.cost * 30);
    }
    let path = path(&scene, Kind::CrashAll, 300, 10);
    let (mut kept, mut wallets) = (Linear::<4>::new(&scene, &book).unwrap(), book.wallets.clone());
    // Down and up again, and at the edge in each.
    for (round, marks) in path.iter().chain(path.iter().rev()).step_by(40).enumerate() {
        at_the_edge(&scene, &mut book, marks, |account| i64::try_from((account + round) % 8).unwrap() - 2);
        let fresh = Linear::<4>::new(&scene, &book).unwrap().scan(marks).unwrap();
        for ((base, wallet), before) in kept.base.iter_mut().zip(&book.wallets).zip(&mut wallets) {
            *base += i128::from(wallet - *before) * kept.unit;
            *before = *wallet;
        }
        assert_eq!(kept.scan(marks).unwrap(), fresh);
        assert_eq!(naive::numbers(&Naive::new(&scene, &book).scan(&scene.decimals(marks))), fresh);
    }
}
