"""pyftpdlib as a server for anonymous visitors who may write: PORT FOLDER.

Its own command has a limit of 512 connections and logs every command; both are
changed here, and nothing else.
"""

import logging
import sys
import warnings

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.log import config_logging
from pyftpdlib.servers import FTPServer

# Anonymous visitors who may write are warned of at the start.
warnings.simplefilter("ignore")
config_logging(level=logging.ERROR)

port, folder = sys.argv[1:]
FTPHandler.authorizer = DummyAuthorizer()
FTPHandler.authorizer.add_anonymous(folder, perm="elradfmwMT")
server = FTPServer(("127.0.0.1", int(port)), FTPHandler)
server.max_cons = 20_000
server.serve_forever()
