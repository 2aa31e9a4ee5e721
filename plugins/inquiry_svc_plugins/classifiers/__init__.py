"""Classifiers: what is this inquiry about, how does its writer feel, how urgent is it?"""
