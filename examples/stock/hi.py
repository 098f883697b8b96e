"""Says hi to the endpoint say-hi-service by a stock gRPC stub, with no library of Parley.

    hi.py HOST:PORT [API]     API is the directory of the .proto files
"""
import sys

import grpc

sys.path.insert(0, sys.argv[2] if len(sys.argv) > 2 else "api")
protos, services = grpc.protos_and_services("sayhi/v1/sayhi.proto")

with grpc.insecure_channel(sys.argv[1]) as channel:
    stub = services.SayHiStub(channel)
    # Which endpoint is meant could be left out, as there is only one that implements SayHi.
    endpoint = [("parley-endpoint", "say-hi-service")]
    reply = stub.Hi(protos.HiRequest(msg="hi , i am Python"), metadata=endpoint, timeout=10)
    print("reply:", reply.msg)
    try:
        stub.Hi(protos.HiRequest(msg="hi"), metadata=[("parley-endpoint", "nobody")], timeout=10)
    except grpc.RpcError as e:
        print("error:", e.code().name, e.details())
