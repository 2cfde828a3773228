// A client in another language, from the .proto files and a client certificate alone:
// logs in, pays, sends the same payment again, and looks at the history.
//
//   npm install @grpc/grpc-js @grpc/proto-loader
//   node client.mjs CLUSTER_FOLDER PROTO_FOLDER PORT        (the password comes from CLUSTER_PASSWORD)
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const [folder, protos, port] = process.argv.slice(2);
const pem = (name) => readFileSync(join(folder, "certs", name));
const { interbank } = grpc.loadPackageDefinition(
  loader.loadSync("interbank/v1/payment.proto", { includeDirs: [protos], enums: String, longs: Number }),
);
const credentials = grpc.credentials.createSsl(pem("ca/ca.crt"), pem("client/shell.key"), pem("client/shell.crt"));
const client = new interbank.v1.PaymentService(`localhost:${port}`, credentials);
const metadata = new grpc.Metadata();
const call = (method, request) => promisify(client[method]).bind(client)(request, metadata);

const login = await call("Login", { user: "alice", password: process.env.CLUSTER_PASSWORD });
metadata.set("authorization", `Bearer ${login.token}`);
const request = {
  paymentId: randomUUID(),
  payerAccount: "alice@ICICI",
  payeeAccount: "bob@HDFC",
  amountMinor: 700,
  currency: "INR",
};
const first = await call("Pay", request);
const again = await call("Pay", request);
const { payments } = await call("ListPayments", { pageSize: 1 });
client.close();
console.log(JSON.stringify({ first: first.outcome, again: again.outcome, replayed: again.replayed, newest: payments[0].paymentId === request.paymentId }));
