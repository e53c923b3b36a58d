#!/usr/bin/env python3
"""A small chat client: all that a client has to do, in as few lines as that takes. Python 3.9 or newer, nothing else.

    python3 docs/client.py alice secret --register
    bob hello, are you there?

Each line of input goes to the friend it begins with; who is none yet becomes one. What comes is printed. Several
addresses may be given with --node; another is tried when one is lost. docs/client.md says why each part is there.
"""
import argparse
import asyncio
import json
import random
import struct
import sys
import uuid

LOGIN, LOGIN_ACK, LOGOUT, LOGOUT_ACK, REGISTER, REGISTER_ACK = 1, 2, 3, 11, 4, 5
ONE_CHAT, GROUP_CHAT, CHAT_ACK, RECEIVED = 6, 10, 12, 16
ADD_FRIEND, ADD_FRIEND_ACK, PING, PONG, NOTICE, EVENT = 7, 13, 19, 20, 21, 31
LOGGED_IN, EXISTS, TOO_FAST, UNAVAILABLE, REPLACED = 2, 8, 10, 11, 13
ENDED_BY_OPERATOR, ACCOUNT_DISABLED = 18, 19
LARGEST_FRAME = 1024 * 1024  # what a node may send
SILENCE = 90  # seconds without a byte, after which the connection counts as dead: a node asks every 30
LONGEST_WAIT = 10.0  # seconds between two attempts to connect


class Refused(Exception):
    """A reply with an errno that is final."""


# -- frames: four bytes of length, then a JSON object


async def read(reader):
    (length,) = struct.unpack(">I", await asyncio.wait_for(reader.readexactly(4), SILENCE))
    if length > LARGEST_FRAME:
        raise ConnectionError("this is no chat node")
    return json.loads(await asyncio.wait_for(reader.readexactly(length), SILENCE))


def write(writer, message):
    body = json.dumps(message, ensure_ascii=False).encode()
    writer.write(struct.pack(">I", len(body)) + body)


async def ask(reader, writer, message, reply):
    """A request before the login, when nothing but its answer comes, or a NOTICE."""
    write(writer, message)
    while (answer := await read(reader))["msgid"] != reply:
        if answer["msgid"] == NOTICE:
            raise ConnectionError(answer["errmsg"])
    return answer


class Client:
    def __init__(self, nodes, name, password):
        self.nodes, self.name = nodes, name
        self.proof = {"password": password}  # a token, once there is one: it costs the node less
        self.friends = {}  # name -> id
        self.seen = {}  # conv -> the last seq that was shown
        self.unsaid = set()  # conversations with messages that the node has not been told of
        self.under_way = {}  # mid -> chat, in the order sent, until it is acknowledged
        self.answers = {}  # msgid of a reply -> who waits for it
        self.writer = None  # set while logged in
        self.ends = False

    # -- a session after the other, until the user has had enough

    async def run(self):
        wait = 0.1
        while not self.ends:
            host, _, port = random.choice(self.nodes).rpartition(":")
            try:
                reader, writer = await asyncio.open_connection(host, int(port))
            except OSError as error:
                print(f"* cannot reach {host}:{port}: {error}", file=sys.stderr)
                await asyncio.sleep(wait * random.uniform(0.5, 1.5))  # not all clients at once
                wait = min(wait * 2, LONGEST_WAIT)
                continue
            try:
                await self.log_in(reader, writer)
                wait = 0.1
                await self.serve(reader, writer)
            except (OSError, EOFError, asyncio.TimeoutError) as error:
                print(f"* connection lost: {error}", file=sys.stderr)
                await asyncio.sleep(wait * random.uniform(0.5, 1.5))
                wait = min(wait * 2, LONGEST_WAIT)
            finally:
                self.writer = None
                writer.close()

    async def log_in(self, reader, writer):
        login = {"msgid": LOGIN, "name": self.name, "v": 1, "caps": ["events"], "takeover": True, **self.proof}
        ack = await ask(reader, writer, login, LOGIN_ACK)
        while ack["errno"] in (LOGGED_IN, TOO_FAST, UNAVAILABLE) and "retry_ms" in ack:
            await asyncio.sleep(ack["retry_ms"] / 1000)
            ack = await ask(reader, writer, login, LOGIN_ACK)
        if ack["errno"] != 0:
            raise Refused(ack["errmsg"])
        self.proof = {"token": ack["token"]}
        self.friends.update((friend["name"], friend["id"]) for friend in ack["friends"])
        print(f"* {self.name} is logged in at {ack['node']}", file=sys.stderr)
        self.writer = writer
        for chat in self.under_way.values():
            # The same mid: if it was stored before, the node says so, and nobody gets it twice.
            write(writer, chat)

    async def serve(self, reader, writer):
        teller = asyncio.create_task(self.tell_received(writer))
        try:
            while (message := await read(reader))["msgid"] != LOGOUT_ACK:
                await self.handle(writer, message)
                await writer.drain()
        finally:
            teller.cancel()
            for answer in self.answers.values():
                answer.cancel()
            self.answers.clear()

    async def handle(self, writer, message):
        kind = message["msgid"]
        if kind in (ONE_CHAT, GROUP_CHAT):
            self.show(message)
        elif kind == CHAT_ACK:
            await self.acknowledged(writer, message)
        elif kind == PING:
            write(writer, {"msgid": PONG})
        elif kind == EVENT and message["kind"] == "gap":
            # These will not come: whoever waited for them would wait for ever.
            self.seen[message["conv"]] = max(self.seen.get(message["conv"], 0), message["last"])
            self.unsaid.add(message["conv"])
        elif kind == NOTICE:
            print(f"* {message['errmsg']}", file=sys.stderr)
            if message["errno"] in (REPLACED, ENDED_BY_OPERATOR, ACCOUNT_DISABLED):
                self.ends = True  # in use elsewhere, or sent away: whether to come back is for the user to say
            await asyncio.sleep(message.get("retry_ms", 0) / 1000)
        elif kind in self.answers:
            self.answers.pop(kind).set_result(message)
        # Whatever else comes is newer than this client, which may ignore it.

    def show(self, message):
        conv, seq = message["conv"], message.get("seq")
        if seq is not None:
            if seq <= self.seen.get(conv, 0):
                return  # shown before: pushed again since the node did not hear that it was received
            self.seen[conv] = seq
            self.unsaid.add(conv)
        where = f" in group {message['groupid']}" if "groupid" in message else ""
        print(f"{message['name']}{where}: {message['msg']}", flush=True)

    async def acknowledged(self, writer, ack):
        chat = self.under_way.get(ack["mid"])
        if chat and ack["errno"] in (TOO_FAST, UNAVAILABLE):
            await asyncio.sleep(ack.get("retry_ms", 500) / 1000)
            write(writer, chat)
            return
        self.under_way.pop(ack["mid"], None)
        if ack["errno"] != 0:
            print(f"* not sent: {ack['errmsg']}", file=sys.stderr)

    async def tell_received(self, writer):
        """What was shown need not be pushed again: said once a second at most, and at the end."""
        while True:
            await asyncio.sleep(1)
            self.tell_received_now(writer)

    def tell_received_now(self, writer):
        for conv in self.unsaid:
            write(writer, {"msgid": RECEIVED, "conv": conv, "seq": self.seen[conv]})
        self.unsaid.clear()

    # -- what the user wants

    async def ask(self, message, reply):
        while self.writer is None:
            await asyncio.sleep(0.1)
        answer = self.answers[reply] = asyncio.get_running_loop().create_future()
        write(self.writer, message)
        return await answer

    async def friend(self, name):
        while name not in self.friends:
            try:
                ack = await self.ask({"msgid": ADD_FRIEND, "name": name}, ADD_FRIEND_ACK)
            except asyncio.CancelledError:
                continue  # the connection was lost: asking again does no harm
            if ack["errno"] in (TOO_FAST, UNAVAILABLE):
                await asyncio.sleep(ack.get("retry_ms", 500) / 1000)
            elif ack["errno"] != 0:
                raise Refused(ack["errmsg"])
            else:
                self.friends[name] = ack["id"]
        return self.friends[name]

    async def send(self, name, text):
        mid = str(uuid.uuid4())
        self.under_way[mid] = {"msgid": ONE_CHAT, "mid": mid, "toid": await self.friend(name), "msg": text}
        if self.writer:
            write(self.writer, self.under_way[mid])

    async def log_out(self):
        self.ends = True
        if self.writer:
            self.tell_received_now(self.writer)
            write(self.writer, {"msgid": LOGOUT})


async def register(node, name, password):
    host, _, port = node.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    message = {"msgid": REGISTER, "name": name, "password": password}
    ack = await ask(reader, writer, message, REGISTER_ACK)
    writer.close()
    if ack["errno"] not in (0, EXISTS):
        raise Refused(ack["errmsg"])


async def main():
    parser = argparse.ArgumentParser(description="A small chat client.")
    parser.add_argument("name")
    parser.add_argument("password")
    parser.add_argument("--register", action="store_true", help="make the account first, unless it is there")
    parser.add_argument("--node", action="append", help="HOST:PORT, as often as there are nodes (localhost:12345)")
    arguments = parser.parse_args()
    nodes = arguments.node or ["localhost:12345"]
    if arguments.register:
        await register(nodes[0], arguments.name, arguments.password)
    client = Client(nodes, arguments.name, arguments.password)
    session = asyncio.create_task(client.run())
    while line := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        name, _, text = line.strip().partition(" ")
        if name and text:
            try:
                await client.send(name, text)
            except Refused as error:
                print(f"* {name}: {error}", file=sys.stderr)
    while client.under_way and not session.done():
        await asyncio.sleep(0.1)
    await client.log_out()
    await session


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except Refused as error:
        sys.exit(f"refused: {error}")
    except (KeyboardInterrupt, BrokenPipeError):
        pass
