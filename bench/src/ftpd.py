"""pyftpdlib as `bench/run ftp` runs it: PORT FOLDER. Anyone may do anything."""

import logging
import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

logging.disable(logging.CRITICAL)
authorizer = DummyAuthorizer()
authorizer.add_anonymous(sys.argv[2], perm="elradfmwMT")
FTPHandler.authorizer = authorizer
FTPServer.max_cons = 0  # no limit
FTPServer(("127.0.0.1", int(sys.argv[1])), FTPHandler, backlog=1024).serve_forever()
