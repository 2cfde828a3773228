"""The programs of the cluster: the gateway, the banks, and the library that clients call them with."""
