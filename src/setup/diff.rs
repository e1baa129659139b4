//! Two texts beside each other, line by line: what goes and what comes, with the lines around it. For configs: small texts. Pure.

/// Lines that stay around a change.
const AROUND: usize = 2;

/// The lines that differ, `-` before what goes and `+` before what comes; empty when nothing does.
pub fn lines(before: &str, after: &str) -> Vec<String> {
    let (a, b): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    // length of the longest common part of what is left of both
    let width = b.len() + 1;
    let mut common = vec![0u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i * width + j] = match a[i] == b[j] {
                true => common[(i + 1) * width + j + 1] + 1,
                false => common[(i + 1) * width + j].max(common[i * width + j + 1]),
            };
        }
    }
    let (mut i, mut j, mut all) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            all.push((' ', a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || (i < a.len() && common[(i + 1) * width + j] >= common[i * width + j + 1]) {
            all.push(('-', a[i]));
            i += 1;
        } else {
            all.push(('+', b[j]));
            j += 1;
        }
    }
    let near = |at: usize| all[at.saturating_sub(AROUND)..(at + AROUND + 1).min(all.len())].iter().any(|(sign, _)| *sign != ' ');
    (0..all.len()).filter(|at| near(*at)).map(|at| format!("{} {}", all[at].0, all[at].1).trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_and_what_comes_is_shown_with_its_neighbours() {
        let table = [
            ("a\nb\n", "a\nb\n", vec![]),
            ("", "a\n", vec!["+ a"]),
            ("a\n", "", vec!["- a"]),
            ("1\n2\n3\n4\n5\n6\n7\n", "1\n2\n3\nx\n5\n6\n7\n", vec!["  2", "  3", "- 4", "+ x", "  5", "  6"]),
            ("a\n\nb", "a\nb", vec!["  a", "-", "  b"]),
        ];
        for (before, after, want) in table {
            assert_eq!(lines(before, after), want, "{before:?} {after:?}");
        }
    }
}
