"""Uploads a file with tuspy, going on where an earlier run has stopped.

Takes one argument, JSON: endpoint, file, name, state, chunk, authorization.
"""

import json
import sys

from tusclient import client
from tusclient.storage import filestorage

wish = json.loads(sys.argv[1])
tus = client.TusClient(wish["endpoint"])
if wish["authorization"]:
    tus.set_headers({"Authorization": wish["authorization"]})
uploader = tus.uploader(
    wish["file"],
    chunk_size=wish["chunk"],
    metadata={"filename": wish["name"]},
    # In seconds; the server is away for as long as a start takes.
    retries=30,
    retry_delay=1,
    store_url=True,
    url_storage=filestorage.FileStorage(wish["state"]),
    upload_checksum=wish["checksum"],
)
print(f"from {uploader.offset}", flush=True)
uploader.upload()
