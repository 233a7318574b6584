"""What endpoints do with multicast: find, be found, send, receive, wake. The first word says what; output is one line for
each thing that happened. Uses python3-zeroconf for mDNS."""

import socket
import struct
import sys
import time

what, words = sys.argv[1], sys.argv[2:]


def say(*text):
    print(*text, flush=True)


def own_address():
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.connect(("10.0.0.1", 9))
    return probe.getsockname()[0]


def publish(name):
    from zeroconf import IPVersion, ServiceInfo, Zeroconf

    address = own_address()
    zeroconf = Zeroconf(interfaces=[address], ip_version=IPVersion.V4Only)
    info = ServiceInfo(
        "_ipp._tcp.local.", name + "._ipp._tcp.local.", 631, addresses=[socket.inet_aton(address)],
        server=name + ".local.", properties={"rp": "ipp/print"},
    )
    zeroconf.register_service(info)
    say("published")
    time.sleep(600)


def browse(seconds):
    from zeroconf import IPVersion, ServiceBrowser, Zeroconf

    zeroconf = Zeroconf(interfaces=[own_address()], ip_version=IPVersion.V4Only)

    class Listener:
        def add_service(self, zc, kind, name):
            info = zc.get_service_info(kind, name, 5000)
            address = socket.inet_ntoa(info.addresses[0]) if info else "unresolved"
            say("found", name.split(".")[0], address)

        def update_service(self, zc, kind, name):
            pass

        def remove_service(self, zc, kind, name):
            pass

    ServiceBrowser(zeroconf, "_ipp._tcp.local.", Listener())
    say("browsing")
    time.sleep(float(seconds))
    say("done")


def member(group, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("", port))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + socket.inet_aton(own_address()))
    return s


def answer():
    """An SSDP device: answers searches to the asker's own port."""
    s = member("239.255.255.250", 1900)
    say("listening")
    while True:
        data, peer = s.recvfrom(2000)
        if data.startswith(b"M-SEARCH"):
            say("asked", peer[0])
            s.sendto(b"HTTP/1.1 200 OK\r\nST: ssdp:all\r\nUSN: uuid:" + own_address().encode() + b"\r\n\r\n", peer)


def search(seconds):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 2)
    question = b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n"
    until = time.time() + float(seconds)
    again = 0.0
    s.settimeout(0.2)
    seen = set()
    while time.time() < until:
        if time.time() >= again:
            s.sendto(question, ("239.255.255.250", 1900))
            again = time.time() + 1
        try:
            _, peer = s.recvfrom(2000)
        except socket.timeout:
            continue
        if peer[0] not in seen:
            seen.add(peer[0])
            say("found", peer[0])
    say("done")


def receive(group, port):
    s = member(group, int(port))
    say("joined")
    count = 0
    while True:
        data = s.recv(2000)
        count += 1
        say("got", count, data.decode())


def leave(group, port):
    """Joins, receives one packet, leaves, and says what still arrives at the interface."""
    s = member(group, int(port))
    say("joined")
    say("got", s.recv(2000).decode())
    s.close()
    say("left")
    sniff(group)


def send(group, port, text, count):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 8)
    for n in range(int(count)):
        s.sendto(("%s-%d" % (text, n)).encode(), (group, int(port)))
        time.sleep(0.05)
    say("sent")


def sniff(address):
    """Every UDP packet to an address that arrives at the interface, wanted or not."""
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    s.bind(("eth0", 0))
    say("sniffing")
    while True:
        frame = s.recv(3000)
        incoming = frame[30:34] == socket.inet_aton(address) and frame[23] == 17
        if incoming:
            length = struct.unpack(">H", frame[38:40])[0]
            say("saw", frame[42:34 + length].decode("latin-1"))


def wake(mac):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    s.sendto(b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) * 16, ("255.255.255.255", 9))
    say("sent")


def sleep(mac):
    """A network card that waits for its magic packet."""
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
    s.bind(("eth0", 0))
    say("asleep")
    magic = b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) * 16
    while True:
        frame = s.recv(3000)
        if magic in frame:
            say("awake", frame[:6].hex(":"))


globals()[what](*words)
