// Says hi to the endpoint say-hi-service by a stock gRPC client, with no library of Parley.
//
//	node hi.js HOST:PORT [API]     API is the directory of the .proto files
'use strict';
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [address, api = 'api'] = process.argv.slice(2);
const { SayHi } = grpc.loadPackageDefinition(loader.loadSync('sayhi/v1/sayhi.proto', { includeDirs: [api] })).sayhi.v1;

const client = new SayHi(address, grpc.credentials.createInsecure());
const metadata = new grpc.Metadata();
// Which endpoint is meant could be left out, as there is only one that implements SayHi.
metadata.set('parley-endpoint', 'say-hi-service');
client.Hi({ msg: 'hi , i am Node' }, metadata, { deadline: Date.now() + 10_000 }, (err, reply) => {
  console.log(err ? `error: ${err.message}` : `reply: ${reply.msg}`);
  client.close();
  process.exitCode = err ? 1 : 0;
});
