"""What groups of linear learners tell each other: models of nodes, means of groups, how groups are related.

Three small messages of DAMTL as reconstructed (after Hong and Garcia, arXiv 2410.03403), each with links and
a rhythm of its own: `nodes` inside a group and to its messengers, `means` between messengers, `relation` from
a messenger to its group.
"""
