"""What everybody needs who speaks to a cluster: one client, one patience, one page of words. Nothing here knows steps or servers."""
