"""What a cluster is made of and where it lies: cluster.yaml, folder, users, ports, how files are written."""
