"""Speaks Parley by hand, with nothing but a stock stub of parley.v1.Parley: a hello, an ask, its reply, half-close.

    connect.py HOST:PORT [API]     API is the directory of the .proto files

docs/protocol.md is what it follows. A dialler that does not offer "resume" may send at once; the session ends with the stream.
"""
import queue
import sys

import grpc

sys.path.insert(0, sys.argv[2] if len(sys.argv) > 2 else "api")
parley, services = grpc.protos_and_services("parley/v1/parley.proto")
sayhi = grpc.protos("sayhi/v1/sayhi.proto")

with grpc.insecure_channel(sys.argv[1]) as channel:
    outgoing = queue.Queue()  # of frames; None half-closes
    incoming = services.ParleyStub(channel).Connect(iter(outgoing.get, None), timeout=10)

    ask = parley.Ask(
        id=1,  # from 1 upwards, each higher than the one before
        remaining_us=5_000_000,
        target=parley.Target(endpoint="say-hi-service", method="sayhi.v1.SayHi/Hi"),
        proto=sayhi.HiRequest(msg="hi , by hand").SerializeToString(),
    )
    # Frames with envelopes are numbered from 1.
    outgoing.put(parley.Frame(hello=parley.Hello(), number=1, envelopes=[parley.Envelope(ask=ask)]))

    for frame in incoming:
        if frame.HasField("refusal"):
            sys.exit("refused: " + frame.refusal.message)
        if frame.HasField("welcome"):
            print("welcome: revision", frame.welcome.revision)
        for envelope in frame.envelopes:
            reply = envelope.reply
            if reply.id == 1 and reply.status.code == 0:
                print("reply:", sayhi.HiReply.FromString(reply.proto).msg)
            elif reply.id == 1:
                print("error:", reply.status.code, reply.status.message)
            outgoing.put(None)  # the listener has nothing more to answer, and ends the stream
    print("end:", incoming.code().name)
