//! The wires between this machine and the board, whose network has nothing but a loopback of its own.

use std::fs::File;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::machine::Machine;

/// A listener on the board's loopback, whose connections are answered here.
pub fn listen_inside(machine: &Machine, port: u16) -> TcpListener {
    let network = machine.process().join("ns/net");
    // a thread of its own: it never comes back to this machine's network
    let bound = thread::spawn(move || {
        move_into_link_name_space(File::open(network).unwrap().as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        TcpListener::bind(("127.0.0.1", port)).unwrap()
    });
    bound.join().unwrap()
}

/// An address on this machine's loopback that leads to the board's API.
pub fn front(machine: &Machine) -> String {
    let socket = machine.path("run/pikit-update/api.sock");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let socket = socket.clone();
            thread::spawn(move || joined(&client, &socket));
        }
    });
    url
}

/// Passes bytes both ways until both have ended.
fn joined(client: &TcpStream, socket: &Path) -> io::Result<()> {
    let board = UnixStream::connect(socket)?;
    let (mut there, mut here) = (board.try_clone()?, client.try_clone()?);
    let back = thread::spawn(move || {
        let _ = io::copy(&mut there, &mut here);
        here.shutdown(Shutdown::Write)
    });
    let _ = io::copy(&mut &*client, &mut &board);
    let _ = board.shutdown(Shutdown::Write);
    drop(back.join());
    Ok(())
}
