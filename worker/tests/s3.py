"""An S3-compatible store in this process, for tests: moto's. Says its port on standard output, then answers each line of standard
input with a line of JSON: `make BUCKET`, `dump BUCKET` (every object and its content), `delete BUCKET KEY`. Ends with its input."""

import json
import sys

import boto3
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
print(port, flush=True)
s3 = boto3.client(
    "s3",
    endpoint_url=f"http://{host}:{port}",
    region_name="us-east-1",
    aws_access_key_id="tests",
    aws_secret_access_key="tests",
)

def objects(bucket):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    body = lambda key: s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return {key: body(key).hex() for key in keys}

def answer(verb, bucket, *rest):
    if verb == "make":
        return s3.create_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"]
    if verb == "dump":
        return objects(bucket)
    if verb == "delete":
        return s3.delete_object(Bucket=bucket, Key=rest[0])["ResponseMetadata"]["HTTPStatusCode"]
    raise ValueError(verb)

for line in sys.stdin:
    print(json.dumps(answer(*line.split())), flush=True)
server.stop()
