# the programs of server/
