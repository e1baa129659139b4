pub fn run(_: &super::args::Globals, _: &super::voice::Voice, _: bool) -> crate::Result<u8> {
    Ok(0)
}
